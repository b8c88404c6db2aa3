/* SPDX-License-Identifier: BSD-2-Clause */
#include <mutex>
#include <new>

#define ONCE_NAME "std::call_once"
#define ONCE_ID once_std
using once_type = std::once_flag;
#define once_make(o) ((void)new (o) std::once_flag)

static void once_fn() {}

#define once_call(o) std::call_once(*(o), once_fn)

#include "../once_rows.h"
