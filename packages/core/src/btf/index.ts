export interface Btf {
  readonly types: readonly unknown[];
}
