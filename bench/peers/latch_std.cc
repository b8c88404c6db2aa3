/* SPDX-License-Identifier: BSD-2-Clause */
#include <latch>
#include <new>

#define LATCH_NAME "std::latch"
#define LATCH_ID latch_std
using latch_object = std::latch;
#define latch_begin(l, count) ((void)new (l) std::latch(count))
#define latch_end(l) (l)->~latch()
#define latch_count_down(l) (l)->count_down()
#define latch_wait(l) (l)->wait()

#include "../latch_rows.h"
