/* SPDX-License-Identifier: BSD-2-Clause */
/* ConcurrentDict: a map of owned references (map.h) that behaves as dict does.
 *
 * Rules of this file: a function that calls the map holds nothing but references; what may run
 * foreign code (__hash__, __eq__, a finalizer, a callback) runs between calls of the map, never
 * inside; a result is a reference taken by the map while the entry was readable. */
#include "probe.h"

static dict_object *as_dict(PyObject *self)
{
    return (dict_object *)self;
}

static PyObject *as_object(uint64_t value)
{
    return (PyObject *)lw_ptr_value(value);
}

/* KeyError's argument is the key itself, even if that is a tuple. */
static void set_key_error(PyObject *key)
{
    PyObject *error = PyObject_CallOneArg(PyExc_KeyError, key);
    if (error != NULL) {
        PyErr_SetObject(PyExc_KeyError, error);
        Py_DECREF(error);
    }
}

static bool check_arguments(const char *name, Py_ssize_t given, Py_ssize_t least, Py_ssize_t most)
{
    if (given >= least && given <= most) {
        return true;
    }
    PyErr_Format(PyExc_TypeError, "%s expected %s%zd argument%s, got %zd", name,
                 least == most   ? ""
                 : given < least ? "at least "
                                 : "at most ",
                 given < least ? least : most, (given < least ? least : most) == 1 ? "" : "s",
                 given);
    return false;
}

/* The value of `key` in a dict: 1 and a new reference, 0, -1. */
static int get_item(PyObject *mapping, PyObject *key, PyObject **value)
{
#if PY_VERSION_HEX >= 0x030d0000
    return PyDict_GetItemRef(mapping, key, value);
#else
    *value = Py_XNewRef(PyDict_GetItemWithError(mapping, key));
    if (*value != NULL) {
        return 1;
    }
    return PyErr_Occurred() ? -1 : 0;
#endif
}

/* ---- Single keys ---- */

int dict_lookup(dict_object *self, PyObject *key, PyObject **value)
{
    probe p;
    lw_key_t k;
    if (probe_init(&p, &k, key) < 0) {
        return -1;
    }
    uint64_t found = 0;
    lw_status status;
    PROBE_RUN(&p, status, lw_map_get_key(self->map, &k, value != NULL ? &found : NULL));
    probe_clear(&p);
    if (status == LW_OK) {
        if (value != NULL) {
            *value = as_object(found);
        }
        return 1;
    }
    return status == LW_NOT_FOUND ? 0 : -1;
}

/* 0 or -1. */
static int dict_store(dict_object *self, PyObject *key, PyObject *value)
{
    probe p;
    lw_key_t k;
    if (probe_init(&p, &k, key) < 0) {
        return -1;
    }
    /* These references go to the map if it takes what they refer to. */
    Py_INCREF(key);
    Py_INCREF(value);
    lw_status status;
    PROBE_RUN(&p, status, lw_map_put_key(self->map, &k, lw_value_ptr(value), NULL));
    probe_clear(&p);
    if (status == LW_OK) {
        return 0;
    }
    Py_DECREF(key);
    if (status == LW_EXISTS) {
        return 0;
    }
    Py_DECREF(value);
    if (status != LW_AGAIN) {
        (void)lw_py_set_error(status);
    }
    return -1;
}

/* 1: inserted; 0: it was there, *present (may be NULL) is its value, a new reference; -1. */
static int dict_insert(dict_object *self, PyObject *key, PyObject *value, PyObject **present)
{
    probe p;
    lw_key_t k;
    if (probe_init(&p, &k, key) < 0) {
        return -1;
    }
    Py_INCREF(key);
    Py_INCREF(value);
    uint64_t found = 0;
    lw_status status;
    PROBE_RUN(&p, status,
              lw_map_put_if_absent_key(self->map, &k, lw_value_ptr(value),
                                       present != NULL ? &found : NULL));
    probe_clear(&p);
    if (status == LW_OK) {
        return 1;
    }
    Py_DECREF(key);
    Py_DECREF(value);
    if (status == LW_EXISTS) {
        if (present != NULL) {
            *present = as_object(found);
        }
        return 0;
    }
    if (status != LW_AGAIN) {
        (void)lw_py_set_error(status);
    }
    return -1;
}

/* 1 and a new reference in *old (may be NULL), 0 if the key is not there, -1. */
static int dict_take(dict_object *self, PyObject *key, PyObject **old)
{
    probe p;
    lw_key_t k;
    if (probe_init(&p, &k, key) < 0) {
        return -1;
    }
    uint64_t taken = 0;
    lw_status status;
    PROBE_RUN(&p, status, lw_map_remove_key(self->map, &k, old != NULL ? &taken : NULL));
    probe_clear(&p);
    if (status == LW_OK) {
        if (old != NULL) {
            *old = as_object(taken);
        }
        return 1;
    }
    return status == LW_NOT_FOUND ? 0 : -1;
}

/* As replace() and remove(): 1 if the key held `expected` and now holds `value` (NULL: is gone),
 * 0 if not, -1. */
static int dict_exchange(dict_object *self, PyObject *key, PyObject *expected, PyObject *value)
{
    probe p;
    lw_key_t k;
    if (probe_init(&p, &k, key) < 0) {
        return -1;
    }
    lw_status status;
    if (value == NULL) {
        PROBE_RUN(&p, status, lw_map_compare_remove_key(self->map, &k, lw_value_ptr(expected)));
    } else {
        Py_INCREF(value);
        PROBE_RUN(
            &p, status,
            lw_map_compare_replace_key(self->map, &k, lw_value_ptr(expected), lw_value_ptr(value)));
        if (status != LW_OK) {
            Py_DECREF(value);
        }
    }
    probe_clear(&p);
    if (status == LW_OK) {
        return 1;
    }
    if (status == LW_NOT_FOUND || status == LW_MISMATCH) {
        return 0;
    }
    if (status != LW_AGAIN) {
        (void)lw_py_set_error(status);
    }
    return -1;
}

static Py_ssize_t dict_length(PyObject *self)
{
    return (Py_ssize_t)lw_map_size(as_dict(self)->map);
}

static int dict_contains(PyObject *self, PyObject *key)
{
    return dict_lookup(as_dict(self), key, NULL);
}

/* The attribute `name` of the type or a base, as it stands there: 1 and a new reference, 0, -1. */
static int type_lookup(PyTypeObject *type, PyObject *name, PyObject **found)
{
    /* By the attribute, which takes the lock that an assignment to __bases__ holds. */
    PyObject *mro = PyObject_GetAttrString((PyObject *)type, "__mro__");
    if (mro == NULL) {
        return -1;
    }
    Py_ssize_t bases = PyTuple_Check(mro) ? PyTuple_GET_SIZE(mro) : 0;
    int status = 0;
    for (Py_ssize_t i = 0; i < bases && status == 0; i++) {
        PyTypeObject *base = (PyTypeObject *)PyTuple_GET_ITEM(mro, i);
#if PY_VERSION_HEX >= 0x030c0000
        PyObject *names = PyType_GetDict(base);
#else
        PyObject *names = Py_XNewRef(base->tp_dict);
#endif
        if (names != NULL) {
            status = get_item(names, name, found);
            Py_DECREF(names);
        }
    }
    Py_DECREF(mro);
    return status;
}

/* Calls type(self).__missing__, if there is one, as special methods are called: it is looked for in
 * the type alone and bound to `self`. */
static PyObject *call_missing(PyObject *self, PyObject *key)
{
    core_state *state = core_state_of(self);
    if (state == NULL) {
        return NULL;
    }
    PyTypeObject *type = Py_TYPE(self);
    PyObject *method = NULL;
    int found = type != state->dict_type ? type_lookup(type, state->missing_method, &method) : 0;
    if (found <= 0) {
        if (found == 0) {
            set_key_error(key);
        }
        return NULL;
    }
    PyObject *result = NULL;
    descrgetfunc bind = Py_TYPE(method)->tp_descr_get;
    if (PyType_HasFeature(Py_TYPE(method), Py_TPFLAGS_METHOD_DESCRIPTOR)) {
        result = PyObject_CallFunctionObjArgs(method, self, key, NULL);
    } else if (bind == NULL) {
        result = PyObject_CallOneArg(method, key);
    } else {
        PyObject *bound = bind(method, self, (PyObject *)type);
        if (bound != NULL) {
            result = PyObject_CallOneArg(bound, key);
            Py_DECREF(bound);
        }
    }
    Py_DECREF(method);
    return result;
}

static PyObject *dict_subscript(PyObject *self, PyObject *key)
{
    PyObject *value;
    int found = dict_lookup(as_dict(self), key, &value);
    if (LW_LIKELY(found > 0)) {
        return value;
    }
    return found == 0 ? call_missing(self, key) : NULL;
}

static int dict_ass_subscript(PyObject *self, PyObject *key, PyObject *value)
{
    if (value != NULL) {
        return dict_store(as_dict(self), key, value);
    }
    int found = dict_take(as_dict(self), key, NULL);
    if (found == 0) {
        set_key_error(key);
    }
    return found > 0 ? 0 : -1;
}

static PyObject *dict_get(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!check_arguments("get", nargs, 1, 2)) {
        return NULL;
    }
    PyObject *value;
    int found = dict_lookup(as_dict(self), args[0], &value);
    if (found > 0) {
        return value;
    }
    return found == 0 ? Py_NewRef(nargs > 1 ? args[1] : Py_None) : NULL;
}

static PyObject *dict_setdefault(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!check_arguments("setdefault", nargs, 1, 2)) {
        return NULL;
    }
    PyObject *value = nargs > 1 ? args[1] : Py_None;
    PyObject *present;
    /* Mostly it is there, and a read takes no lock. */
    int found = dict_lookup(as_dict(self), args[0], &present);
    if (found == 0) {
        found = dict_insert(as_dict(self), args[0], value, &present);
        if (found > 0) {
            return Py_NewRef(value);
        }
    } else if (found > 0) {
        return present;
    }
    return found == 0 ? present : NULL;
}

static PyObject *dict_pop(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!check_arguments("pop", nargs, 1, 2)) {
        return NULL;
    }
    PyObject *value;
    int found = dict_take(as_dict(self), args[0], &value);
    if (found > 0) {
        return value;
    }
    if (found < 0) {
        return NULL;
    }
    if (nargs > 1) {
        return Py_NewRef(args[1]);
    }
    set_key_error(args[0]);
    return NULL;
}

static PyObject *dict_replace(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!check_arguments("replace", nargs, 3, 3)) {
        return NULL;
    }
    int done = dict_exchange(as_dict(self), args[0], args[1], args[2]);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

static PyObject *dict_remove(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!check_arguments("remove", nargs, 2, 2)) {
        return NULL;
    }
    int done = dict_exchange(as_dict(self), args[0], args[1], NULL);
    return done < 0 ? NULL : PyBool_FromLong(done);
}

/* What a key's next value is made of: a function of the present one (NULL: the key is not
 * there). Returns a new reference, `state->missing` to have the key taken out, or NULL with an
 * exception. */
typedef PyObject *(*next_value_fn)(core_state *state, PyObject *present, PyObject *arg);

/* Repeats until nobody came in between: whoever did has made progress. */
static PyObject *dict_transform(dict_object *self, PyObject *key, next_value_fn next, PyObject *arg)
{
    core_state *state = core_state_of((PyObject *)self);
    if (state == NULL) {
        return NULL;
    }
    for (;;) {
        /* Our reference to `present` keeps its address from being reused before the exchange. */
        PyObject *present = NULL;
        if (dict_lookup(self, key, &present) < 0) {
            return NULL;
        }
        PyObject *value = next(state, present, arg);
        int done = -1;
        if (value != NULL) {
            if (present != NULL) {
                done = dict_exchange(self, key, present, value == state->missing ? NULL : value);
            } else if (value == state->missing) {
                done = 1;
            } else {
                done = dict_insert(self, key, value, NULL);
            }
        }
        Py_XDECREF(present);
        if (done > 0) {
            return value;
        }
        Py_XDECREF(value);
        if (done < 0 || PyErr_CheckSignals() < 0) {
            return NULL;
        }
    }
}

static PyObject *next_by_call(core_state *state, PyObject *present, PyObject *arg)
{
    return PyObject_CallOneArg(arg, present != NULL ? present : state->missing);
}

static PyObject *next_by_sum(core_state *Py_UNUSED(state), PyObject *present, PyObject *arg)
{
    return present != NULL ? PyNumber_Add(present, arg) : Py_NewRef(arg);
}

static PyObject *dict_compute(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!check_arguments("compute", nargs, 2, 2)) {
        return NULL;
    }
    return dict_transform(as_dict(self), args[0], next_by_call, args[1]);
}

static PyObject *dict_add(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    if (!check_arguments("add", nargs, 1, 2)) {
        return NULL;
    }
    PyObject *delta = nargs > 1 ? Py_NewRef(args[1]) : PyLong_FromLong(1);
    if (delta == NULL) {
        return NULL;
    }
    PyObject *sum = dict_transform(as_dict(self), args[0], next_by_sum, delta);
    Py_DECREF(delta);
    return sum;
}

/* ---- Walks ---- */

/* Entries asked for at a time: one bucket's. More would be quicker, and staler: an entry is
 * yielded as it was when its bucket was read, unless the caller looks again. */
enum { WALKER_WANTED = 1 };

static walker_slot *walker_slots(walker *w)
{
    return w->capacity != 0 ? w->slots : w->inline_slots;
}

/* Inside of a section. */
static void walker_visit(void *arg, const lw_map_entry *entry)
{
    walker *w = (walker *)arg;
    size_t capacity = w->capacity != 0 ? w->capacity : WALKER_INLINE;
    if (w->filled < capacity) {
        walker_slot *slot = &walker_slots(w)[w->filled];
        slot->key = Py_NewRef(as_object(entry->key));
        slot->value = Py_NewRef(as_object(entry->value));
        slot->hash = entry->hash;
    }
    w->filled++;
}

typedef enum walker_state {
    WALKER_READY, /* there are slots to yield */
    WALKER_END,
    WALKER_FULL, /* w->filled entries, more than there are slots; all slots hold references */
} walker_state;

/* Reads on. The slots have all been given away. */
static walker_state walker_fill(walker *w)
{
    size_t capacity = w->capacity != 0 ? w->capacity : WALKER_INLINE;
    w->position = 0;
    w->filled = 0;
    while (!w->ended) {
        lw_map_cursor cursor = w->cursor;
        bool more = lw_map_scan(w->dict->map, &cursor, WALKER_WANTED, walker_visit, w);
        if (w->filled > capacity) {
            return WALKER_FULL;
        }
        w->cursor = cursor;
        w->ended = !more;
        if (w->filled != 0) {
            return WALKER_READY;
        }
    }
    return WALKER_END;
}

/* After WALKER_FULL: room for more. The slots that were filled are handed to `spare`, to be
 * dropped by spare_drop once nothing is held. false: no memory. */
typedef struct walker_spare {
    walker_slot *slots; /* NULL: inline_slots */
    size_t capacity;
    walker_slot inline_slots[WALKER_INLINE];
} walker_spare;

static bool walker_grow(walker *w, walker_spare *spare)
{
    size_t wanted = w->filled + w->filled / 2;
    spare->capacity = w->capacity;
    spare->slots = w->slots;
    if (w->capacity == 0) {
        for (size_t i = 0; i < WALKER_INLINE; i++) {
            spare->inline_slots[i] = w->inline_slots[i];
        }
    }
    w->position = 0;
    w->filled = 0;
    w->capacity = 0;
    w->slots = (walker_slot *)PyMem_RawMalloc(wanted * sizeof(walker_slot));
    if (w->slots == NULL) {
        return false;
    }
    w->capacity = wanted;
    return true;
}

static void spare_drop(walker_spare *spare)
{
    walker_slot *slots = spare->capacity != 0 ? spare->slots : spare->inline_slots;
    size_t count = spare->capacity != 0 ? spare->capacity : WALKER_INLINE;
    for (size_t i = 0; i < count; i++) {
        Py_DECREF(slots[i].key);
        Py_DECREF(slots[i].value);
    }
    if (spare->capacity != 0) {
        PyMem_RawFree(spare->slots);
    }
}

/* As walker_next. */
static int walker_take(walker *w, walker_slot *out)
{
    while (w->position == w->filled) {
        walker_state state = walker_fill(w);
        if (state == WALKER_END) {
            return 0;
        }
        if (state == WALKER_FULL) {
            walker_spare spare;
            bool grown = walker_grow(w, &spare);
            spare_drop(&spare);
            if (!grown) {
                PyErr_NoMemory();
                return -1;
            }
        }
    }
    *out = walker_slots(w)[w->position++];
    return 1;
}

int walker_next(walker *w, PyObject **key, PyObject **value)
{
    walker_slot slot;
    int found = walker_take(w, &slot);
    if (found > 0) {
        *key = slot.key;
        *value = slot.value;
    }
    return found;
}

void walker_clear(walker *w)
{
    walker_slot *slots = walker_slots(w);
    size_t position = w->position;
    size_t filled = w->filled;
    w->position = 0;
    w->filled = 0;
    w->ended = true;
    for (size_t i = position; i < filled; i++) {
        Py_DECREF(slots[i].key);
        Py_DECREF(slots[i].value);
    }
    if (w->capacity != 0) {
        w->capacity = 0;
        PyMem_RawFree(w->slots);
    }
}

/* The entry that was found, whatever its key would say by now: no __hash__ and no __eq__ runs, so
 * an operation on it cannot end with LW_AGAIN. */
static lw_key_t same_entry(const walker_slot *slot)
{
    lw_key_t k = {lw_value_ptr(slot->key), NULL, 0, slot->hash, probe_match_identity, slot->key};
    return k;
}

/* Reads the value of an entry again: a new reference, NULL if the entry is gone. */
static PyObject *dict_reread(dict_object *self, const walker_slot *slot)
{
    lw_key_t k = same_entry(slot);
    uint64_t found;
    return lw_map_get_key(self->map, &k, &found) == LW_OK ? as_object(found) : NULL;
}

static PyObject *dict_popitem(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    dict_object *self = as_dict(op);
    /* Made first: without memory for it nothing is removed. The collector need not show it to
     * finalizers while it is empty. */
    PyObject *result = PyTuple_New(2);
    if (result == NULL) {
        return NULL;
    }
    PyObject_GC_UnTrack(result);
    /* From behind the bucket where the last one was found, so that emptying a dictionary does
     * not read its empty part again and again; then once from the start, for what is before that
     * place. */
    walker w = {.dict = self};
    w.cursor.position = lw_atomic_load_relaxed_u64(&self->popitem_position);
    bool from_start = w.cursor.position == 0;
    for (;;) {
        walker_slot slot;
        int found = walker_take(&w, &slot);
        if (found < 0) {
            break;
        }
        if (found == 0) {
            /* Entries that come and go may all have been missed: then it is not empty. */
            if (from_start && lw_map_size(self->map) == 0) {
                PyErr_SetString(PyExc_KeyError, "popitem(): dictionary is empty");
                break;
            }
            if (from_start && PyErr_CheckSignals() < 0) {
                break;
            }
            from_start = true;
            walker_clear(&w);
            w = (walker){.dict = self};
            continue;
        }
        lw_key_t k = same_entry(&slot);
        uint64_t taken;
        lw_status status = lw_map_remove_key(self->map, &k, &taken);
        Py_DECREF(slot.value);
        if (status == LW_OK) {
            lw_atomic_store_relaxed_u64(&self->popitem_position, w.cursor.position);
            walker_clear(&w);
            PyTuple_SET_ITEM(result, 0, slot.key);
            PyTuple_SET_ITEM(result, 1, as_object(taken));
            PyObject_GC_Track(result);
            return result;
        }
        /* Somebody else took it: another one will do. */
        Py_DECREF(slot.key);
    }
    walker_clear(&w);
    Py_DECREF(result);
    return NULL;
}

/* ---- The whole dictionary ---- */

/* Does `type` iterate and subscript as ConcurrentDict itself? */
static bool iterates_natively(core_state *state, PyObject *op)
{
    return Py_TYPE(op) == state->dict_type || (PyObject_TypeCheck(op, state->dict_type) &&
                                               Py_TYPE(op)->tp_iter == state->dict_type->tp_iter);
}

static int merge_concurrent(dict_object *self, dict_object *other)
{
    walker w = {.dict = other};
    PyObject *key;
    PyObject *value;
    int found;
    while ((found = walker_next(&w, &key, &value)) > 0) {
        int stored = dict_store(self, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
        if (stored < 0) {
            found = -1;
            break;
        }
    }
    walker_clear(&w);
    return found;
}

/* `items`: a list of pairs. */
static int merge_pairs(dict_object *self, PyObject *items)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items); i++) {
        PyObject *pair = PyList_GET_ITEM(items, i);
        if (dict_store(self, PyTuple_GET_ITEM(pair, 0), PyTuple_GET_ITEM(pair, 1)) < 0) {
            return -1;
        }
    }
    return 0;
}

static int merge_mapping(dict_object *self, PyObject *other, PyObject *keys_method)
{
    PyObject *keys = PyObject_CallNoArgs(keys_method);
    if (keys == NULL) {
        return -1;
    }
    PyObject *iterator = PyObject_GetIter(keys);
    Py_DECREF(keys);
    if (iterator == NULL) {
        return -1;
    }
    PyObject *key;
    while ((key = PyIter_Next(iterator)) != NULL) {
        PyObject *value = PyObject_GetItem(other, key);
        int stored = value != NULL ? dict_store(self, key, value) : -1;
        Py_DECREF(key);
        Py_XDECREF(value);
        if (stored < 0) {
            break;
        }
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : 0;
}

static int merge_sequence(dict_object *self, PyObject *other)
{
    PyObject *iterator = PyObject_GetIter(other);
    if (iterator == NULL) {
        return -1;
    }
    PyObject *item;
    for (Py_ssize_t i = 0; (item = PyIter_Next(iterator)) != NULL; i++) {
        PyObject *pair = PySequence_Fast(item, "");
        Py_DECREF(item);
        int stored = -1;
        if (pair == NULL) {
            if (PyErr_ExceptionMatches(PyExc_TypeError)) {
                PyErr_Format(PyExc_TypeError,
                             "cannot convert dictionary update sequence element #%zd to a sequence",
                             i);
            }
        } else if (PySequence_Fast_GET_SIZE(pair) != 2) {
            PyErr_Format(PyExc_ValueError,
                         "dictionary update sequence element #%zd has length %zd; 2 is required", i,
                         PySequence_Fast_GET_SIZE(pair));
        } else {
            /* The pair may be a list that somebody else changes. */
            PyObject *key = PySequence_GetItem(pair, 0);
            PyObject *value = key != NULL ? PySequence_GetItem(pair, 1) : NULL;
            if (value != NULL) {
                stored = dict_store(self, key, value);
            }
            Py_XDECREF(key);
            Py_XDECREF(value);
        }
        Py_XDECREF(pair);
        if (stored < 0) {
            break;
        }
    }
    Py_DECREF(iterator);
    return PyErr_Occurred() ? -1 : 0;
}

/* As dict.update's positional argument. 0 or -1. */
static int dict_merge(dict_object *self, PyObject *other)
{
    core_state *state = core_state_of((PyObject *)self);
    if (state == NULL) {
        return -1;
    }
    if (iterates_natively(state, other)) {
        return (PyObject *)self != other ? merge_concurrent(self, as_dict(other)) : 0;
    }
    if (PyDict_CheckExact(other)) {
        PyObject *items = PyDict_Items(other);
        int merged = items != NULL ? merge_pairs(self, items) : -1;
        Py_XDECREF(items);
        return merged;
    }
    PyObject *keys_method = PyObject_GetAttrString(other, "keys");
    if (keys_method != NULL) {
        int merged = merge_mapping(self, other, keys_method);
        Py_DECREF(keys_method);
        return merged;
    }
    if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return -1;
    }
    PyErr_Clear();
    return merge_sequence(self, other);
}

static PyObject *dict_update(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    dict_object *self = as_dict(op);
    if (!check_arguments("update", nargs, 0, 1)) {
        return NULL;
    }
    if (nargs == 1 && dict_merge(self, args[0]) < 0) {
        return NULL;
    }
    Py_ssize_t count = names != NULL ? PyTuple_GET_SIZE(names) : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        if (dict_store(self, PyTuple_GET_ITEM(names, i), args[nargs + i]) < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *dict_clear(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    lw_map_clear(as_dict(self)->map);
    Py_RETURN_NONE;
}

static PyObject *dict_copy(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    core_state *state = core_state_of(self);
    PyObject *copy = state != NULL ? PyObject_CallNoArgs((PyObject *)state->dict_type) : NULL;
    if (copy != NULL && merge_concurrent(as_dict(copy), as_dict(self)) < 0) {
        Py_CLEAR(copy);
    }
    return copy;
}

static PyObject *dict_fromkeys(PyObject *type, PyObject *const *args, Py_ssize_t nargs)
{
    if (!check_arguments("fromkeys", nargs, 1, 2)) {
        return NULL;
    }
    PyObject *value = nargs > 1 ? args[1] : Py_None;
    PyObject *self = PyObject_CallNoArgs(type);
    if (self == NULL) {
        return NULL;
    }
    PyObject *iterator = PyObject_GetIter(args[0]);
    if (iterator == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    PyObject *key;
    while ((key = PyIter_Next(iterator)) != NULL) {
        int stored = PyObject_SetItem(self, key, value);
        Py_DECREF(key);
        if (stored < 0) {
            break;
        }
    }
    Py_DECREF(iterator);
    if (PyErr_Occurred()) {
        Py_CLEAR(self);
    }
    return self;
}

static bool is_mapping(core_state *state, PyObject *op)
{
    return PyObject_TypeCheck(op, state->dict_type) || PyDict_Check(op);
}

/* Takes whatever a mapping pattern matches: every collections.abc.Mapping. It does not leave the
 * choice to the other type: UserDict, for one, takes nothing but itself and dict. */
static PyObject *dict_or(PyObject *left, PyObject *right)
{
    if (!PyType_HasFeature(Py_TYPE(left), Py_TPFLAGS_MAPPING) ||
        !PyType_HasFeature(Py_TYPE(right), Py_TPFLAGS_MAPPING)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    core_state *state = core_state_of_either(left, right);
    if (state == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_CallNoArgs((PyObject *)state->dict_type);
    if (result != NULL &&
        (dict_merge(as_dict(result), left) < 0 || dict_merge(as_dict(result), right) < 0)) {
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *dict_ior(PyObject *self, PyObject *other)
{
    return dict_merge(as_dict(self), other) < 0 ? NULL : Py_NewRef(self);
}

/* The value of `key` in a ConcurrentDict or dict: 1 and a new reference, 0, -1. */
static int mapping_lookup(core_state *state, PyObject *mapping, PyObject *key, PyObject **value)
{
    if (PyObject_TypeCheck(mapping, state->dict_type)) {
        return dict_lookup(as_dict(mapping), key, value);
    }
    return get_item(mapping, key, value);
}

/* 1 or 0, or -1 with an exception. */
static int dict_equals(core_state *state, dict_object *self, PyObject *other)
{
    if (dict_length((PyObject *)self) != PyObject_Size(other)) {
        return PyErr_Occurred() ? -1 : 0;
    }
    walker w = {.dict = self};
    PyObject *key;
    PyObject *value;
    int equal = 1;
    while (equal > 0) {
        int found = walker_next(&w, &key, &value);
        if (found <= 0) {
            equal = found < 0 ? -1 : 1;
            break;
        }
        PyObject *counterpart = NULL;
        equal = mapping_lookup(state, other, key, &counterpart);
        if (equal > 0) {
            equal = PyObject_RichCompareBool(value, counterpart, Py_EQ);
            Py_DECREF(counterpart);
        }
        Py_DECREF(key);
        Py_DECREF(value);
    }
    walker_clear(&w);
    return equal;
}

static PyObject *dict_richcompare(PyObject *self, PyObject *other, int op)
{
    core_state *state = core_state_of(self);
    if (state == NULL) {
        return NULL;
    }
    if ((op != Py_EQ && op != Py_NE) || !is_mapping(state, other)) {
        Py_RETURN_NOTIMPLEMENTED;
    }
    int equal = dict_equals(state, as_dict(self), other);
    return equal < 0 ? NULL : PyBool_FromLong((op == Py_EQ) == (equal != 0));
}

static PyObject *type_name(PyObject *self)
{
    const char *name = Py_TYPE(self)->tp_name;
    for (const char *c = name; *c != '\0'; c++) {
        if (*c == '.') {
            name = c + 1;
        }
    }
    return PyUnicode_FromString(name);
}

/* Without PyUnicode_FromFormat around the calls: dicts in dicts are as many of these on the stack,
 * and CPython's limit allows for some 800 bytes each. */
static PyObject *dict_repr_entry(PyObject *key, PyObject *value)
{
    PyObject *entry = NULL;
    PyObject *left = PyObject_Repr(key);
    if (left == NULL) {
        return NULL;
    }
    PyObject *right = PyObject_Repr(value);
    if (right != NULL) {
        entry = PyUnicode_FromFormat("%U: %U", left, right);
        Py_DECREF(right);
    }
    Py_DECREF(left);
    return entry;
}

/* "key: value, ..." of all entries. */
static PyObject *dict_repr_entries(dict_object *self)
{
    PyObject *parts = PyList_New(0);
    if (parts == NULL) {
        return NULL;
    }
    walker w = {.dict = self};
    PyObject *key;
    PyObject *value;
    int found;
    while ((found = walker_next(&w, &key, &value)) > 0) {
        PyObject *part = dict_repr_entry(key, value);
        Py_DECREF(key);
        Py_DECREF(value);
        if (part == NULL || PyList_Append(parts, part) < 0) {
            found = -1;
        }
        Py_XDECREF(part);
        if (found < 0) {
            break;
        }
    }
    walker_clear(&w);
    PyObject *joined = NULL;
    if (found == 0) {
        PyObject *separator = PyUnicode_FromString(", ");
        if (separator != NULL) {
            joined = PyUnicode_Join(separator, parts);
            Py_DECREF(separator);
        }
    }
    Py_DECREF(parts);
    return joined;
}

static PyObject *dict_repr(PyObject *self)
{
    PyObject *name = type_name(self);
    if (name == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    int entered = Py_ReprEnter(self);
    if (entered == 0) {
        PyObject *entries = dict_repr_entries(as_dict(self));
        if (entries != NULL) {
            result = PyUnicode_FromFormat("%U({%U})", name, entries);
            Py_DECREF(entries);
        }
        Py_ReprLeave(self);
    } else if (entered > 0) {
        result = PyUnicode_FromFormat("%U({...})", name);
    }
    Py_DECREF(name);
    return result;
}

static PyObject *dict_sizeof(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromSize_t((size_t)Py_TYPE(self)->tp_basicsize +
                             lw_map_memory(as_dict(self)->map));
}

/* As dict's subclasses: made without __init__, then the attributes, then the items one by one. */
static PyObject *dict_reduce(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    core_state *state = core_state_of(self);
    PyObject *attributes = state != NULL ? PyObject_CallMethod(self, "__getstate__", NULL) : NULL;
    if (attributes == NULL) {
        return NULL;
    }
    PyObject *items = dict_new_iterator(as_dict(self), VIEW_ITEMS);
    PyObject *result = NULL;
    if (items != NULL) {
        result = Py_BuildValue("O(O)OOO", state->newobj, (PyObject *)Py_TYPE(self), attributes,
                               Py_None, items);
        Py_DECREF(items);
    }
    Py_DECREF(attributes);
    return result;
}

static PyObject *dict_iter(PyObject *self)
{
    return dict_new_iterator(as_dict(self), VIEW_KEYS);
}

static PyObject *dict_keys(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return dict_new_view(as_dict(self), VIEW_KEYS);
}

static PyObject *dict_values(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return dict_new_view(as_dict(self), VIEW_VALUES);
}

static PyObject *dict_items(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return dict_new_view(as_dict(self), VIEW_ITEMS);
}

/* ---- Life and death ---- */

static PyObject *dict_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwds))
{
    lw_map_config config = lw_py_map_config(LW_KEY_CUSTOM);
#ifndef Py_GIL_DISABLED
    config.stripes = 1; /* writers hold the GIL */
#endif
    lw_map_t *map = lw_map_new(&config);
    if (map == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (self == NULL) {
        lw_map_free(map);
        return NULL;
    }
    as_dict(self)->map = map;
    return self;
}

static int dict_init(PyObject *self, PyObject *args, PyObject *kwds)
{
    PyObject *other = NULL;
    if (!PyArg_UnpackTuple(args, "ConcurrentDict", 0, 1, &other)) {
        return -1;
    }
    if (other != NULL && dict_merge(as_dict(self), other) < 0) {
        return -1;
    }
    return kwds != NULL ? dict_merge(as_dict(self), kwds) : 0;
}

typedef struct traversal {
    visitproc visit;
    void *arg;
    int result;
} traversal;

static void traverse_entry(void *arg, const lw_map_entry *entry)
{
    traversal *t = (traversal *)arg;
    if (t->result == 0) {
        t->result = t->visit(as_object(entry->key), t->arg);
    }
    if (t->result == 0) {
        t->result = t->visit(as_object(entry->value), t->arg);
    }
}

/* The collector runs while nobody is inside of the map: with the GIL, or with every other
 * attached thread stopped at a place where it holds no lock of the map. */
static int dict_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    traversal t = {visit, arg, 0};
    lw_map_cursor cursor = {0};
    while (lw_map_scan(as_dict(self)->map, &cursor, SIZE_MAX, traverse_entry, &t) &&
           t.result == 0) {
    }
    return t.result;
}

static int dict_tp_clear(PyObject *self)
{
    lw_map_clear(as_dict(self)->map);
    return 0;
}

static void dict_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    /* A chain of dictionaries, each the next one's value, must not use up the stack. */
    Py_TRASHCAN_BEGIN(self, dict_dealloc);
    if (as_dict(self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    lw_map_free(as_dict(self)->map);
    core_free_object(self);
    Py_TRASHCAN_END;
}

PyDoc_STRVAR(
    dict_doc,
    "ConcurrentDict() -> new empty dictionary\n"
    "ConcurrentDict(mapping or iterable of pairs, **kwargs)\n\n"
    "A dictionary for many threads. It has the methods of dict; each operation on one key\n"
    "is atomic, and reads take no lock. As there is no order, there is no reversed().\n\n"
    "Iteration is weakly consistent: it never fails because of a change, it yields a key\n"
    "that is there throughout exactly once, and a key that comes or goes meanwhile at most\n"
    "once per insertion. Operations on the whole dictionary (len, ==,\n"
    "copy, update, repr) are not atomic beside writers. dict(d) and f(**d) ask key by key\n"
    "and raise KeyError if one goes meanwhile; dict(d.items()) does not.");
PyDoc_STRVAR(get_doc, "get($self, key, default=None, /)\n--\n\n"
                      "The value for key if it is there, else default.");
PyDoc_STRVAR(setdefault_doc,
             "setdefault($self, key, default=None, /)\n--\n\n"
             "Insert key with default if it is not there; return the value for key. Atomic: of\n"
             "several threads that call it for one new key, one inserts, and all get that value.");
PyDoc_STRVAR(pop_doc, "pop(key[, default])\n\n"
                      "Remove key and return its value; default, or KeyError, if it is not there.");
PyDoc_STRVAR(popitem_doc,
             "popitem($self, /)\n--\n\n"
             "Remove some entry and return it as (key, value); KeyError if there is none. Runs no\n"
             "method of the keys.");
PyDoc_STRVAR(
    replace_doc,
    "replace($self, key, expected, new, /)\n--\n\n"
    "If key's value is the very object expected, make it new and return True; else change\n"
    "nothing and return False. Atomic. Values are compared by identity, not by ==.");
PyDoc_STRVAR(remove_doc,
             "remove($self, key, expected, /)\n--\n\n"
             "If key's value is the very object expected, remove key and return True; else change\n"
             "nothing and return False. Atomic. Values are compared by identity, not by ==.");
PyDoc_STRVAR(
    compute_doc,
    "compute($self, key, function, /)\n--\n\n"
    "Set key's value to function(present value), or to function(MISSING) if it is not there;\n"
    "if function returns MISSING, remove key. Return what function returned. Atomic: if\n"
    "another thread changes the value meanwhile, function is called again with the newer\n"
    "one. No lock is held while it runs. It must not change the same key itself: then it\n"
    "would be called for ever.");
PyDoc_STRVAR(
    add_doc,
    "add($self, key, delta=1, /)\n--\n\n"
    "Add delta to key's value, or insert delta if key is not there. Return the sum. Atomic.");
PyDoc_STRVAR(update_doc, "update([mapping or iterable of pairs], **kwargs)\n\n"
                         "Store each entry of the arguments, one after the other.");
PyDoc_STRVAR(clear_doc, "clear($self, /)\n--\n\nRemove every entry that is there now.");
PyDoc_STRVAR(copy_doc, "copy($self, /)\n--\n\nA new ConcurrentDict with the same entries.");
PyDoc_STRVAR(fromkeys_doc, "fromkeys($type, iterable, value=None, /)\n--\n\n"
                           "A new dictionary with the keys of iterable, each with value.");
PyDoc_STRVAR(keys_doc, "keys($self, /)\n--\n\nA set-like view of the keys.");
PyDoc_STRVAR(values_doc, "values($self, /)\n--\n\nA view of the values.");
PyDoc_STRVAR(items_doc, "items($self, /)\n--\n\nA set-like view of the entries.");
PyDoc_STRVAR(sizeof_doc,
             "__sizeof__($self, /)\n--\n\nBytes in memory, keys and values not counted.");
PyDoc_STRVAR(reduce_doc, "__reduce__($self, /)\n--\n\nFor pickle and copy.");

static PyMethodDef dict_methods[] = {
    {"get", CORE_METHOD(dict_get), METH_FASTCALL, get_doc},
    {"setdefault", CORE_METHOD(dict_setdefault), METH_FASTCALL, setdefault_doc},
    {"pop", CORE_METHOD(dict_pop), METH_FASTCALL, pop_doc},
    {"popitem", dict_popitem, METH_NOARGS, popitem_doc},
    {"replace", CORE_METHOD(dict_replace), METH_FASTCALL, replace_doc},
    {"remove", CORE_METHOD(dict_remove), METH_FASTCALL, remove_doc},
    {"compute", CORE_METHOD(dict_compute), METH_FASTCALL, compute_doc},
    {"add", CORE_METHOD(dict_add), METH_FASTCALL, add_doc},
    {"update", CORE_METHOD(dict_update), METH_FASTCALL | METH_KEYWORDS, update_doc},
    {"clear", dict_clear, METH_NOARGS, clear_doc},
    {"copy", dict_copy, METH_NOARGS, copy_doc},
    {"fromkeys", CORE_METHOD(dict_fromkeys), METH_FASTCALL | METH_CLASS, fromkeys_doc},
    {"keys", dict_keys, METH_NOARGS, keys_doc},
    {"values", dict_values, METH_NOARGS, values_doc},
    {"items", dict_items, METH_NOARGS, items_doc},
    {"__sizeof__", dict_sizeof, METH_NOARGS, sizeof_doc},
    {"__reduce__", dict_reduce, METH_NOARGS, reduce_doc},
    {"__class_getitem__", Py_GenericAlias, METH_O | METH_CLASS,
     PyDoc_STR("For annotations: ConcurrentDict[str, int].")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef dict_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(dict_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot dict_slots[] = {
    {Py_tp_doc, (void *)dict_doc},
    {Py_tp_new, (void *)dict_new},
    {Py_tp_init, (void *)dict_init},
    {Py_tp_dealloc, (void *)dict_dealloc},
    {Py_tp_traverse, (void *)dict_traverse},
    {Py_tp_clear, (void *)dict_tp_clear},
    {Py_tp_repr, (void *)dict_repr},
    {Py_tp_hash, (void *)PyObject_HashNotImplemented},
    {Py_tp_richcompare, (void *)dict_richcompare},
    {Py_tp_iter, (void *)dict_iter},
    {Py_tp_methods, dict_methods},
    {Py_tp_members, dict_members},
    {Py_mp_length, (void *)dict_length},
    {Py_mp_subscript, (void *)dict_subscript},
    {Py_mp_ass_subscript, (void *)dict_ass_subscript},
    {Py_sq_contains, (void *)dict_contains},
    {Py_nb_or, (void *)dict_or},
    {Py_nb_inplace_or, (void *)dict_ior},
    {0, NULL},
};

static PyType_Spec dict_spec = {
    "latchwork.ConcurrentDict",
    sizeof(dict_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_MAPPING,
    dict_slots,
};

/* ---- Iterators ---- */

typedef struct iterator_object {
    PyObject ob_base;
    walker w; /* w.dict is owned; NULL, and nothing is left, once the collector has cleared it */
    view_kind kind;
    lw_mutex_t mutex; /* threads may share an iterator; protects w */
} iterator_object;

/* Nothing that runs under it detaches, so with the GIL it is not needed. */
static void iterator_lock(iterator_object *self)
{
#ifdef Py_GIL_DISABLED
    lw_mutex_lock(&self->mutex);
#else
    (void)self;
#endif
}

static void iterator_unlock(iterator_object *self)
{
#ifdef Py_GIL_DISABLED
    lw_mutex_unlock(&self->mutex);
#else
    (void)self;
#endif
}

/* As walker_take, for threads that share the walker. *stale: the dictionary, a new reference, if
 * the entry was read some time ago; else NULL. */
static int iterator_take(iterator_object *self, walker_slot *out, dict_object **stale)
{
    walker *w = &self->w;
    for (;;) {
        walker_spare spare;
        bool grown = true;
        walker_state state = WALKER_READY;
        iterator_lock(self);
        if (w->position == w->filled) {
            state = walker_fill(w);
            if (state == WALKER_FULL) {
                grown = walker_grow(w, &spare);
            }
        }
        if (state == WALKER_READY) {
            *stale = w->position != 0 ? as_dict(Py_NewRef((PyObject *)w->dict)) : NULL;
            *out = walker_slots(w)[w->position++];
        }
        iterator_unlock(self);
        if (state != WALKER_FULL) {
            return state == WALKER_READY;
        }
        spare_drop(&spare);
        if (!grown) {
            PyErr_NoMemory();
            return -1;
        }
    }
}

/* An entry is yielded as it is now, not as it was when its bucket was read: a loop's body sees
 * its own changes. */
static PyObject *iterator_next(PyObject *op)
{
    iterator_object *self = (iterator_object *)op;
    walker_slot slot;
    dict_object *stale;
    while (iterator_take(self, &slot, &stale) > 0) {
        if (stale != NULL) {
            PyObject *newer = dict_reread(stale, &slot);
            Py_DECREF((PyObject *)stale);
            if (newer == NULL) {
                Py_DECREF(slot.key);
                Py_DECREF(slot.value);
                continue;
            }
            Py_SETREF(slot.value, newer);
        }
        if (self->kind == VIEW_KEYS) {
            Py_DECREF(slot.value);
            return slot.key;
        }
        if (self->kind == VIEW_VALUES) {
            Py_DECREF(slot.key);
            return slot.value;
        }
        PyObject *pair = PyTuple_Pack(2, slot.key, slot.value);
        Py_DECREF(slot.key);
        Py_DECREF(slot.value);
        return pair;
    }
    return NULL;
}

static PyObject *iterator_length_hint(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    iterator_object *self = (iterator_object *)op;
    iterator_lock(self);
    bool ended = self->w.ended && self->w.position == self->w.filled;
    size_t hint = ended ? 0 : lw_map_size(self->w.dict->map);
    iterator_unlock(self);
    return PyLong_FromSize_t(hint);
}

static int iterator_traverse(PyObject *op, visitproc visit, void *arg)
{
    iterator_object *self = (iterator_object *)op;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->w.dict);
    walker_slot *slots = walker_slots(&self->w);
    for (size_t i = self->w.position; i < self->w.filled; i++) {
        Py_VISIT(slots[i].key);
        Py_VISIT(slots[i].value);
    }
    return 0;
}

/* An entry that was read ahead may be a tuple, which cannot be cleared, and lead back here. */
static int iterator_clear(PyObject *op)
{
    iterator_object *self = (iterator_object *)op;
    iterator_lock(self);
    walker taken = self->w;
    self->w = (walker){.ended = true};
    iterator_unlock(self);
    walker_clear(&taken);
    Py_XDECREF((PyObject *)taken.dict);
    return 0;
}

static void iterator_dealloc(PyObject *op)
{
    iterator_object *self = (iterator_object *)op;
    PyObject_GC_UnTrack(self);
    (void)iterator_clear(op);
    core_free_object(op);
}

PyObject *dict_new_iterator(dict_object *dict, view_kind kind)
{
    core_state *state = core_state_of((PyObject *)dict);
    if (state == NULL) {
        return NULL;
    }
    PyTypeObject *type = state->iterator_type;
    iterator_object *self = (iterator_object *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->w.dict = as_dict(Py_NewRef((PyObject *)dict));
        self->kind = kind;
    }
    return (PyObject *)self;
}

static PyMethodDef iterator_methods[] = {
    {"__length_hint__", iterator_length_hint, METH_NOARGS,
     PyDoc_STR("__length_hint__($self, /)\n--\n\nAt most about this many entries are left.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot iterator_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR("An iterator over a ConcurrentDict.")},
    {Py_tp_dealloc, (void *)iterator_dealloc},
    {Py_tp_traverse, (void *)iterator_traverse},
    {Py_tp_clear, (void *)iterator_clear},
    {Py_tp_iter, (void *)PyObject_SelfIter},
    {Py_tp_iternext, (void *)iterator_next},
    {Py_tp_methods, iterator_methods},
    {0, NULL},
};

static PyType_Spec iterator_spec = {
    "latchwork._core.ConcurrentDictIterator",
    sizeof(iterator_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION |
        Py_TPFLAGS_IMMUTABLETYPE,
    iterator_slots,
};

int core_add_dict(PyObject *module, core_state *state)
{
    state->dict_type = core_add_type(module, &dict_spec, "ConcurrentDict");
    if (state->dict_type == NULL) {
        return -1;
    }
    /* There is no order that could be reversed; without this, reversed() would try
     * __getitem__(0). */
    if (PyObject_SetAttrString((PyObject *)state->dict_type, "__reversed__", Py_None) < 0) {
        return -1;
    }
    state->iterator_type = core_add_type(module, &iterator_spec, NULL);
    return state->iterator_type != NULL ? 0 : -1;
}
