/**
 * Pointer members of kernel structs that stay good: read through a trusted pointer they are trusted too, or while the
 * RCU read lock is held. What is not here gives a pointer that may be read through, but not passed on.
 *
 * Source: kernel/bpf/verifier.c `BTF_TYPE_SAFE_RCU`, `BTF_TYPE_SAFE_RCU_OR_NULL`, `BTF_TYPE_SAFE_TRUSTED`,
 * `BTF_TYPE_SAFE_TRUSTED_OR_NULL`, `rcu_protected_types`.
 */

type Fields = Readonly<Record<string, readonly string[]>>;

export const SAFE_RCU: Fields = {
  task_struct: ["cpus_ptr", "cgroups", "real_parent", "group_leader"],
  cgroup: ["kn"],
  css_set: ["dfl_cgrp"],
  cgroup_subsys_state: ["cgroup"],
};
export const SAFE_RCU_OR_NULL: Fields = {
  mm_struct: ["exe_file"],
  sk_buff: ["sk"],
  request_sock: ["sk"],
};
export const SAFE_TRUSTED: Fields = {
  bpf_iter_meta: ["seq"],
  bpf_iter__task: ["meta", "task"],
  linux_binprm: ["file"],
  file: ["f_inode"],
};
export const SAFE_TRUSTED_OR_NULL: Fields = {
  dentry: ["d_inode"],
  socket: ["sk"],
  vm_area_struct: ["vm_mm", "vm_file"],
};

/** Kernel objects that are freed only after an RCU grace period: a kptr to one may be read under the RCU read lock. */
export const RCU_PROTECTED: ReadonlySet<string> = new Set([
  "prog_test_ref_kfunc",
  "cgroup",
  "bpf_cpumask",
  "task_struct",
  "bpf_crypto_ctx",
]);

export function isListed(fields: Fields, struct: string, field: string): boolean {
  return Object.hasOwn(fields, struct) && fields[struct]!.includes(field);
}
