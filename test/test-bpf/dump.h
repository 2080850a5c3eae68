/*
 * Writes the tables to stdout. Every entry is a line of JSON (without its description's quotes: it has none) followed by
 * the bytes that the line announces: instructions, data, fragment.
 */
static void text(const char *s) {
  for (; *s; s++) putchar(*s == '"' || *s == '\\' ? '\'' : *s);
}

static void dump_tests(void) {
  for (size_t t = 0; t < ARRAY_SIZE(tests); t++) {
    struct bpf_test *test = &tests[t];
    const void *insns = test->u.insns;
    size_t count = MAX_INSNS;
    if (test->fill_helper) {
      BUG_ON(test->fill_helper(test) < 0);
      insns = test->u.ptr.insns;
      count = test->u.ptr.len;
    } else {
      const struct sock_filter *at = insns;
      while (count > 1 && !at[count - 1].code && !at[count - 1].k) count--;
    }
    printf("{\"descr\":\"");
    text(test->descr);
    printf("\",\"classic\":%d,\"noData\":%d,\"mustFail\":%d,\"fragment\":%d,\"largeMemory\":%d,\"filled\":%d,",
           !!(test->aux & CLASSIC), !!(test->aux & FLAG_NO_DATA), !!(test->aux & FLAG_EXPECTED_FAIL),
           !!(test->aux & FLAG_SKB_FRAG), !!(test->aux & FLAG_LARGE_MEM), !!test->fill_helper);
    printf("\"insns\":%zu,\"data\":%zu,\"frag\":%zu,\"runs\":[", count * 8, sizeof test->data, sizeof test->frag_data);
    for (int i = 0; i < MAX_SUBTESTS; i++) {
      if (i && !test->test[i].data_size && !test->test[i].result) break;
      printf("%s{\"size\":%d,\"result\":%u}", i ? "," : "", test->test[i].data_size, test->test[i].result);
    }
    printf("]}\n");
    fwrite(insns, 8, count, stdout);
    fwrite(test->data, 1, sizeof test->data, stdout);
    fwrite(test->frag_data, 1, sizeof test->frag_data, stdout);
    if (test->fill_helper) free(test->u.ptr.insns);
  }
}

static void dump_tail_calls(void) {
  for (size_t t = 0; t < ARRAY_SIZE(tail_call_tests); t++) {
    struct tail_call_test *test = &tail_call_tests[t];
    size_t count = MAX_INSNS;
    while (count > 1 && !test->insns[count - 1].code && !test->insns[count - 1].imm) count--;
    printf("{\"descr\":\"");
    text(test->descr);
    printf("\",\"tailCall\":1,\"needsState\":%d,\"resultInState\":%d,\"insns\":%zu,\"data\":0,\"frag\":0,\"result\":%d}\n",
           !!(test->flags & FLAG_NEED_STATE), !!(test->flags & FLAG_RESULT_IN_STATE), count * 8, test->result);
    fwrite(test->insns, 8, count, stdout);
  }
}

int main(void) {
  dump_tests();
  dump_tail_calls();
  return 0;
}
