/* The floor: nothing but a verdict. */
#include "bench.h"

PROGRAM(ctx) { return XDP_DROP; }
