/* SPDX-License-Identifier: BSD-2-Clause */
/* What CPython does with its own objects: instances of object, which its free lists do not keep. */
#include <Python.h>

#define REF_NAME "Py_INCREF"
#define REF_ID ref_python
#define REF_ATTACHED

typedef PyObject ref_t;
#define ref_new() PyObject_CallNoArgs((PyObject *)&PyBaseObject_Type)
#define ref_inc(o) Py_INCREF(o)
#define ref_dec(o) Py_DECREF(o)

#include "../ref_rows.h"
