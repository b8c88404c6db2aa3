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

static bool is_own_set_view(core_state *state, PyObject *op)
{
    return Py_IS_TYPE(op, state->keys_type) || Py_IS_TYPE(op, state->items_type);
}

/* Of a ConcurrentDict or a dict. */
static bool is_set_view(core_state *state, PyObject *op)
{
    return is_own_set_view(state, op) || PyDictViewSet_Check(op);
}

static bool is_items_view(core_state *state, PyObject *op)
{
    return Py_IS_TYPE(op, state->items_type) || PyDictItems_Check(op);
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

/* Whether some item of `part` is in `whole` (`contained`: 1), or is not (0); 1, 0 or -1. */
static int any_item(PyObject *part, PyObject *whole, int contained)
{
    PyObject *iterator = PyObject_GetIter(part);
    if (iterator == NULL) {
        return -1;
    }
    int found = 0;
    PyObject *item;
    while (!found && (item = PyIter_Next(iterator)) != NULL) {
        int is_in = PySequence_Contains(whole, item);
        found = is_in < 0 || is_in == contained;
        Py_DECREF(item);
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : found;
}

/* Whether every item of `part` is in `whole`; 1, 0 or -1. */
static int all_contained(PyObject *part, PyObject *whole)
{
    int outside = any_item(part, whole, 0);
    return outside < 0 ? -1 : !outside;
}

/* Adds to `set` the items of `part` that are in `whole` (`contained`: 1), or are not (0). 0 or
 * -1. */
static int add_items(PyObject *set, PyObject *part, PyObject *whole, int contained)
{
    PyObject *iterator = PyObject_GetIter(part);
    if (iterator == NULL) {
        return -1;
    }
    int status = 0;
    PyObject *item;
    while (status >= 0 && (item = PyIter_Next(iterator)) != NULL) {
        status = PySequence_Contains(whole, item);
        if (status == contained) {
            status = PySet_Add(set, item);
        }
        Py_DECREF(item);
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *view_richcompare(PyObject *self, PyObject *other, int op)
{
    core_state *state = core_state_of(self);
    if (state == NULL) {
        return NULL;
    }
    if (!PyAnySet_Check(other) && !is_set_view(state, other)) {
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

/* As dict's views: of two sets the smaller one is walked, and what is no set is. So the operand
 * may be small and the dictionary large, and values need a hash only where they are found. */
static PyObject *view_and(PyObject *left, PyObject *right)
{
    core_state *state = core_state_of_either(left, right);
    if (state == NULL) {
        return NULL;
    }
    PyObject *whole = is_own_set_view(state, left) ? left : right;
    PyObject *part = whole == left ? right : left;
    if (!is_own_set_view(state, whole)) {
        Py_RETURN_NOTIMPLEMENTED; /* a view that outlives its module, which was imported again */
    }
    Py_ssize_t mine = view_length(whole);
    if (PySet_CheckExact(part) && mine <= PySet_GET_SIZE(part)) {
        return PyObject_CallMethod(part, "intersection", "(O)", whole);
    }
    if (is_set_view(state, part)) {
        Py_ssize_t theirs = PyObject_Size(part);
        if (theirs < 0) {
            return NULL;
        }
        if (theirs > mine) {
            PyObject *larger = part;
            part = whole;
            whole = larger;
        }
    }
    PyObject *result = PySet_New(NULL);
    if (result != NULL && add_items(result, part, whole, 1) < 0) {
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *view_or(PyObject *left, PyObject *right)
{
    return combine(left, right, "union");
}

/* As dict's views: entries that both sides have need no hash of their values. */
static PyObject *view_xor(PyObject *left, PyObject *right)
{
    core_state *state = core_state_of_either(left, right);
    if (state == NULL) {
        return NULL;
    }
    if (!is_items_view(state, left) || !is_items_view(state, right)) {
        return combine(left, right, "symmetric_difference");
    }
    PyObject *result = PySet_New(NULL);
    if (result != NULL &&
        (add_items(result, left, right, 0) < 0 || add_items(result, right, left, 0) < 0)) {
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *view_subtract(PyObject *left, PyObject *right)
{
    return combine(left, right, "difference");
}

static PyObject *view_isdisjoint(PyObject *self, PyObject *other)
{
    PyObject *part = other;
    PyObject *whole = self;
    core_state *state = core_state_of(self);
    if (state == NULL) {
        return NULL;
    }
    if (PyAnySet_Check(other) || is_set_view(state, other)) {
        Py_ssize_t theirs = PyObject_Size(other);
        if (theirs < 0) {
            return NULL;
        }
        if (theirs > view_length(self)) {
            part = self;
            whole = other;
        }
    }
    int shared = any_item(part, whole, 1);
    return shared < 0 ? NULL : PyBool_FromLong(!shared);
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
    if (state == NULL) {
        return NULL;
    }
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

static PyMethodDef view_methods[] = {
    CORE_NO_PICKLE,
    {NULL, NULL, 0, NULL},
};

static PyMethodDef set_view_methods[] = {
    CORE_NO_PICKLE,
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
    {Py_tp_methods, view_methods},
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
