/* SPDX-License-Identifier: BSD-2-Clause */
/* CPython's own sections: 3.13 and later, free-threaded. Elsewhere they are nothing. */
#include <Python.h>

#include "../gbench.h"

#define CRITICAL_NAME "Py critical section"
#define CRITICAL_ID critical_python
typedef PyObject *critical_object;

static void make_object(PyObject **o)
{
    *o = PyList_New(0);
    if (*o == NULL)
        Py_FatalError("no memory for a list");
}

#define critical_make(o) make_object(o)
#define critical_drop(o) Py_DECREF(*(o))

#ifdef Py_GIL_DISABLED
static inline void section_one(PyObject **o)
{
    Py_BEGIN_CRITICAL_SECTION(o[0]);
    gb_clobber();
    Py_END_CRITICAL_SECTION();
}

static inline void section_two(PyObject **o)
{
    Py_BEGIN_CRITICAL_SECTION2(o[0], o[1]);
    gb_clobber();
    Py_END_CRITICAL_SECTION2();
}

static inline void section_nested(PyObject **o)
{
    Py_BEGIN_CRITICAL_SECTION(o[0]);
    Py_BEGIN_CRITICAL_SECTION(o[1]);
    gb_clobber();
    Py_END_CRITICAL_SECTION();
    Py_END_CRITICAL_SECTION();
}

#define CRITICAL_ONE(o) section_one(o)
#define CRITICAL_TWO(o) section_two(o)
#define CRITICAL_NESTED(o) section_nested(o)
#endif
#define CRITICAL_ATTACHED

#include "../critical_rows.h"
