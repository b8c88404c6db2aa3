/* SPDX-License-Identifier: BSD-2-Clause */
/* CPython's portable thread-specific storage. */
#include <Python.h>

#define THREAD_NAME "PyThread_tss_get"
#define THREAD_ID thread_python
static Py_tss_t thread_key = Py_tss_NEEDS_INIT;

static void thread_make_ready(void)
{
    if (PyThread_tss_create(&thread_key) != 0 || PyThread_tss_set(&thread_key, &thread_key) != 0)
        Py_FatalError("no thread-specific storage");
}

#define thread_prepare() thread_make_ready()
#define thread_find() PyThread_tss_get(&thread_key)

#include "../thread_rows.h"
