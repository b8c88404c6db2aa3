/* SPDX-License-Identifier: BSD-2-Clause */
/* keys(), values() and items() of ConcurrentDict, with the operations that dict's views have.
 * What compares or combines whole views is not atomic beside writers. */
#include "core.h"

typedef struct view_object {
    PyObject ob_base;
    dict_object *dict; /* owned */
    view_kind kind;
} view_object;

static view_object *as_view(PyObject *self)
{
    return (view_object *)self;
}

static core_state *view_state(PyObject *self)
{
    return (core_state *)PyType_GetModuleState(Py_TYPE(self));
}

static bool is_set_view(core_state *state, PyObject *op)
{
    return Py_IS_TYPE(op, state->keys_type) || Py_IS_TYPE(op, state->items_type);
}

static PyObject *view_iter(PyObject *self)
{
    return dict_new_iterator(as_view(self)->dict, as_view(self)->kind);
}

static Py_ssize_t view_length(PyObject *self)
{
    return (Py_ssize_t)lw_map_size(as_view(self)->dict->map);
}

static PyObject *view_repr(PyObject *self)
{
    static const char *const names[] = {"keys", "values", "items"};
    const char *name = names[as_view(self)->kind];
    int entered = Py_ReprEnter(self);
    if (entered < 0) {
        return NULL;
    }
    if (entered > 0) {
        return PyUnicode_FromFormat("ConcurrentDict.%s([...])", name);
    }
    PyObject *result = NULL;
    PyObject *list = PySequence_List(self);
    if (list != NULL) {
        result = PyUnicode_FromFormat("ConcurrentDict.%s(%R)", name, list);
        Py_DECREF(list);
    }
    Py_ReprLeave(self);
    return result;
}

static int keys_contains(PyObject *self, PyObject *key)
{
    return dict_lookup(as_view(self)->dict, key, NULL);
}

static int items_contains(PyObject *self, PyObject *pair)
{
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        return 0;
    }
    PyObject *value;
    int found = dict_lookup(as_view(self)->dict, PyTuple_GET_ITEM(pair, 0), &value);
    if (found > 0) {
        found = PyObject_RichCompareBool(value, PyTuple_GET_ITEM(pair, 1), Py_EQ);
        Py_DECREF(value);
    }
    return found;
}

/* Whether every item of `part` is in `whole`; 1, 0 or -1. */
static int all_contained(PyObject *part, PyObject *whole)
{
    PyObject *iterator = PyObject_GetIter(part);
    if (iterator == NULL) {
        return -1;
    }
    int contained = 1;
    PyObject *item;
    while (contained > 0 && (item = PyIter_Next(iterator)) != NULL) {
        contained = PySequence_Contains(whole, item);
        Py_DECREF(item);
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : contained;
}

static PyObject *view_richcompare(PyObject *self, PyObject *other, int op)
{
    if (!PyAnySet_Check(other) && !PyDictViewSet_Check(other) &&
        !is_set_view(view_state(self), other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    Py_ssize_t mine = view_length(self);
    Py_ssize_t theirs = PyObject_Size(other);
    if (theirs < 0) {
        return NULL;
    }
    int holds = 0;
    switch (op) {
    case Py_EQ:
    case Py_NE:
        holds = mine == theirs ? all_contained(self, other) : 0;
        break;
    case Py_LT:
        holds = mine < theirs ? all_contained(self, other) : 0;
        break;
    case Py_LE:
        holds = mine <= theirs ? all_contained(self, other) : 0;
        break;
    case Py_GT:
        holds = mine > theirs ? all_contained(other, self) : 0;
        break;
    case Py_GE:
        holds = mine >= theirs ? all_contained(other, self) : 0;
        break;
    default:
        break;
    }
    if (holds < 0) {
        return NULL;
    }
    return PyBool_FromLong(op == Py_NE ? !holds : holds);
}

/* set(left).method(right), as dict's views do. */
static PyObject *combine(PyObject *left, PyObject *right, const char *method)
{
    PyObject *set = PySet_New(left);
    if (set == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_CallMethod(set, method, "(O)", right);
    Py_DECREF(set);
    return result;
}

static PyObject *view_and(PyObject *left, PyObject *right)
{
    return combine(left, right, "intersection");
}

static PyObject *view_or(PyObject *left, PyObject *right)
{
    return combine(left, right, "union");
}

static PyObject *view_xor(PyObject *left, PyObject *right)
{
    return combine(left, right, "symmetric_difference");
}

static PyObject *view_subtract(PyObject *left, PyObject *right)
{
    return combine(left, right, "difference");
}

static PyObject *view_isdisjoint(PyObject *self, PyObject *other)
{
    PyObject *iterator = PyObject_GetIter(other);
    if (iterator == NULL) {
        return NULL;
    }
    int contained = 0;
    PyObject *item;
    while (contained == 0 && (item = PyIter_Next(iterator)) != NULL) {
        contained = PySequence_Contains(self, item);
        Py_DECREF(item);
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(contained == 0);
}

static PyObject *view_mapping(PyObject *self, void *Py_UNUSED(closure))
{
    return PyDictProxy_New((PyObject *)as_view(self)->dict);
}

static int view_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_view(self)->dict);
    return 0;
}

static void view_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(as_view(self)->dict);
    core_free_object(self);
}

PyObject *dict_new_view(dict_object *dict, view_kind kind)
{
    core_state *state = core_state_of((PyObject *)dict);
    PyTypeObject *type = kind == VIEW_KEYS     ? state->keys_type
                         : kind == VIEW_VALUES ? state->values_type
                                               : state->items_type;
    view_object *self = (view_object *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->dict = (dict_object *)Py_NewRef((PyObject *)dict);
        self->kind = kind;
    }
    return (PyObject *)self;
}

static PyMethodDef set_view_methods[] = {
    {"isdisjoint", view_isdisjoint, METH_O,
     PyDoc_STR("isdisjoint($self, other, /)\n--\n\nWhether the two have nothing in common.")},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef view_getset[] = {
    {"mapping", view_mapping, NULL, PyDoc_STR("A read-only proxy of the dictionary."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define VIEW_SLOTS                                                                                 \
    {Py_tp_dealloc, (void *)view_dealloc}, {Py_tp_traverse, (void *)view_traverse},                \
        {Py_tp_iter, (void *)view_iter}, {Py_tp_repr, (void *)view_repr},                          \
        {Py_tp_getset, view_getset},                                                               \
    {                                                                                              \
        Py_sq_length, (void *)view_length                                                          \
    }

#define SET_VIEW_SLOTS                                                                             \
    VIEW_SLOTS, {Py_tp_methods, set_view_methods}, {Py_tp_richcompare, (void *)view_richcompare},  \
        {Py_nb_and, (void *)view_and}, {Py_nb_or, (void *)view_or}, {Py_nb_xor, (void *)view_xor}, \
    {                                                                                              \
        Py_nb_subtract, (void *)view_subtract                                                      \
    }

static PyType_Slot keys_slots[] = {
    SET_VIEW_SLOTS,
    {Py_tp_doc, (void *)PyDoc_STR("The keys of a ConcurrentDict.")},
    {Py_tp_hash, (void *)PyObject_HashNotImplemented},
    {Py_sq_contains, (void *)keys_contains},
    {0, NULL},
};

static PyType_Slot values_slots[] = {
    VIEW_SLOTS,
    {Py_tp_doc, (void *)PyDoc_STR("The values of a ConcurrentDict.")},
    {0, NULL},
};

static PyType_Slot items_slots[] = {
    SET_VIEW_SLOTS,
    {Py_tp_doc, (void *)PyDoc_STR("The entries of a ConcurrentDict, as (key, value).")},
    {Py_tp_hash, (void *)PyObject_HashNotImplemented},
    {Py_sq_contains, (void *)items_contains},
    {0, NULL},
};

enum {
    VIEW_FLAGS = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
                 Py_TPFLAGS_IMMUTABLETYPE,
};

static PyType_Spec keys_spec = {"latchwork._core.ConcurrentDictKeys", sizeof(view_object), 0,
                                VIEW_FLAGS, keys_slots};
static PyType_Spec values_spec = {"latchwork._core.ConcurrentDictValues", sizeof(view_object), 0,
                                  VIEW_FLAGS, values_slots};
static PyType_Spec items_spec = {"latchwork._core.ConcurrentDictItems", sizeof(view_object), 0,
                                 VIEW_FLAGS, items_slots};

int core_add_views(PyObject *module, core_state *state)
{
    state->keys_type = core_add_type(module, &keys_spec, "ConcurrentDictKeys");
    state->values_type = core_add_type(module, &values_spec, "ConcurrentDictValues");
    state->items_type = core_add_type(module, &items_spec, "ConcurrentDictItems");
    return state->keys_type != NULL && state->values_type != NULL && state->items_type != NULL ? 0
                                                                                               : -1;
}
