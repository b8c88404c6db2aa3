/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/thread.h>

#define THREAD_NAME "latchwork"
#define THREAD_ID thread_latchwork
#define thread_prepare() ((void)lw_thread_self())
#define thread_find() ((void *)lw_thread_self())

#include "thread_rows.h"
