/* SPDX-License-Identifier: BSD-2-Clause */
/* The model that a shared object gets by default. */
#define THREAD_NAME "thread-local, default model"
#define THREAD_ID thread_tls
static __thread void *thread_slot __attribute__((tls_model("global-dynamic")));
#define thread_prepare() ((void)(thread_slot = &thread_slot))
#define thread_find() (thread_slot)

#include "../thread_rows.h"
