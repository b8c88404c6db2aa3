/* SPDX-License-Identifier: BSD-2-Clause */
/* What is left of the row without its subject: the call and the loop. */
#define THREAD_NAME "an empty call"
#define THREAD_ID thread_none
#define thread_prepare() ((void)0)
static int thread_anything;
#define thread_find() ((void *)&thread_anything)

#include "../thread_rows.h"
