/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped reference counts, over the shipped thread records. */
#include "model.hpp"

#include "lifetime/ref.c"

struct object {
    lw_ref_t ref;
    LW_PLAIN(int) data;
    object *child; /* gives up a reference to it when destroyed */
    bool keep;     /* the memory stays, as under smr */
};

static int destroyed;

static void destroy(lw_ref_t *ref)
{
    object *o = (object *)(void *)ref;
    MODEL_ASSERT(LW_PLAIN_GET(o->data) == 1);
    LW_PLAIN_SET(o->data, -1);
    destroyed++;
    if (o->child != NULL) {
        lw_ref_dec(&o->child->ref, destroy);
    }
    if (!o->keep) {
        model_free(o);
    }
}

static void use(object *o)
{
    MODEL_ASSERT(LW_PLAIN_GET(o->data) == 1);
}

static void use_and_drop(object *o)
{
    use(o);
    lw_ref_dec(&o->ref, destroy);
}

/* An object of the thread that setup acts as, with so many references counted by it. */
static object *make(int references)
{
    object *o = model_new<object>();
    LW_PLAIN_SET(o->data, 1);
    lw_ref_init(&o->ref);
    while (--references > 0) {
        lw_ref_inc(&o->ref);
    }
    destroyed = 0;
    return o;
}

/* The owner takes what is still in its queue, unless it has exited. */
static void check_destroyed(int count)
{
    (void)lw_ref_drain();
    MODEL_ASSERT(destroyed == count);
}

/* The other thread gives up a reference that the owner had counted: a hand-over. */
struct ref_hand_over : model_suite<ref_hand_over, 2, false> {
    object *o;

    void setup()
    {
        o = make(2);
        model_attach(1);
    }
    void body(unsigned i)
    {
        use_and_drop(o);
        if (i == 0) {
            (void)lw_ref_drain();
        }
    }
    void check()
    {
        check_destroyed(1);
    }
};
MODEL_SUITE(ref_hand_over);

/* The owner goes on counting while its own fields are taken from it. */
struct ref_owner_counts : model_suite<ref_owner_counts, 2, false> {
    object *o;

    void setup()
    {
        o = make(2);
        model_attach(1);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            lw_ref_inc(&o->ref);
            use_and_drop(o);
            lw_ref_inc(&o->ref);
            use_and_drop(o);
        }
        use_and_drop(o);
    }
    void check()
    {
        check_destroyed(1);
    }
};
MODEL_SUITE(ref_owner_counts);

/* The other thread counts for itself; the owner goes first, or last. */
struct ref_shared : model_suite<ref_shared, 2, false> {
    object *o;

    void setup()
    {
        o = make(2);
        model_attach(1);
    }
    void body(unsigned i)
    {
        if (i == 1) {
            lw_ref_inc(&o->ref);
            use_and_drop(o);
        }
        use_and_drop(o);
    }
    void check()
    {
        check_destroyed(1);
    }
};
MODEL_SUITE(ref_shared);

/* Two others: one hands over, the other finds the count queued and takes it below zero. */
struct ref_two_others : model_suite<ref_two_others, 3, false> {
    object *o;

    void setup()
    {
        o = make(3);
        model_attach(1);
        model_attach(2);
    }
    void body(unsigned)
    {
        use_and_drop(o);
    }
    void check()
    {
        check_destroyed(1);
    }
};
MODEL_SUITE(ref_two_others);

/* Several in the queue at once; one destroys the other's last reference. */
struct ref_queue : model_suite<ref_queue, 2, false> {
    object *a, *b;

    void setup()
    {
        a = make(1);
        b = make(2);
        a->child = b;
        model_attach(1);
    }
    void body(unsigned i)
    {
        if (i == 1) {
            use_and_drop(a);
            use_and_drop(b);
        } else {
            (void)lw_ref_drain();
        }
    }
    void check()
    {
        check_destroyed(2);
    }
};
MODEL_SUITE(ref_queue);

/* try_inc against the last drop, of a count in each state. */
template <class D, int references, bool unbiased>
struct ref_try : model_suite<D, 2, false> {
    object *o;

    void setup()
    {
        o = make(references);
        if (unbiased) {
            lw_ref_init_unbiased_(&o->ref);
        }
        o->keep = true;
        model_attach(1);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            use_and_drop(o);
        } else {
            if (lw_ref_try_inc(&o->ref)) {
                use_and_drop(o);
            }
            if (references == 2) {
                use_and_drop(o);
            }
        }
    }
    void check()
    {
        check_destroyed(1);
        MODEL_ASSERT(!lw_ref_try_inc(&o->ref));
    }
};
struct ref_try_last : ref_try<ref_try_last, 1, false> {};
MODEL_SUITE(ref_try_last);
struct ref_try_unbiased : ref_try<ref_try_unbiased, 1, true> {};
MODEL_SUITE(ref_try_unbiased);
struct ref_try_queued : ref_try<ref_try_queued, 2, false> {};
MODEL_SUITE(ref_try_queued);

/* A finder, beside a hand-over. */
struct ref_try_three : model_suite<ref_try_three, 3, false> {
    object *o;

    void setup()
    {
        o = make(2);
        o->keep = true;
        model_attach(1);
        model_attach(2);
    }
    void body(unsigned i)
    {
        if (i != 2) {
            use_and_drop(o);
        } else if (lw_ref_try_inc(&o->ref)) {
            use_and_drop(o);
        }
    }
    void check()
    {
        check_destroyed(1);
    }
};
MODEL_SUITE(ref_try_three);

/* The owner exits while the other hands over to it. */
struct ref_exit : model_suite<ref_exit, 2, true> {
    object *o;

    void setup()
    {
        o = make(2);
        model_attach(1);
        lw_rl_quiet_ = NULL; /* modules register themselves: domain.c is written to */
    }
    void body(unsigned)
    {
        use_and_drop(o);
    }
    void check()
    {
        MODEL_ASSERT(destroyed == 1);
    }
};
MODEL_SUITE(ref_exit);

/* The owner leaves without having dropped anything; its references belong to the others. */
struct ref_exit_two : model_suite<ref_exit_two, 3, true> {
    object *o;

    void setup()
    {
        o = make(2);
        model_attach(1);
        model_attach(2);
    }
    void body(unsigned i)
    {
        if (i != 0) {
            use_and_drop(o);
        }
    }
    void check()
    {
        MODEL_ASSERT(destroyed == 1);
    }
};
MODEL_SUITE(ref_exit_two);

/* The owner is gone. A new thread takes its record, and so its objects, while the other gives
 * up. */
struct ref_adopted : model_suite<ref_adopted, 2, true> {
    object *o;

    void setup()
    {
        o = make(2);
        model_thread_exit();
        model.as = 1;
        model.threads[0].slot.self = NULL;
        MODEL_ASSERT(lw_thread_count() == 0);
    }
    void body(unsigned)
    {
        (void)lw_thread_self();
        lw_ref_inc(&o->ref);
        use_and_drop(o);
        use_and_drop(o);
    }
    void check()
    {
        MODEL_ASSERT(destroyed == 1);
        MODEL_ASSERT(lw_thread_count() == 0);
    }
};
MODEL_SUITE(ref_adopted);

/* Exit, hand-over and adoption at once. */
struct ref_exit_adopted : model_suite<ref_exit_adopted, 3, true> {
    object *o;

    void setup()
    {
        o = make(3);
        model.as = 1;
        (void)lw_thread_self();
    }
    void body(unsigned i)
    {
        if (i == 2) {
            (void)lw_thread_self();
        }
        use_and_drop(o);
    }
    void check()
    {
        MODEL_ASSERT(destroyed == 1);
    }
};
MODEL_SUITE(ref_exit_adopted);

/* A thread that no record could be made for. */
struct ref_no_record : model_suite<ref_no_record, 2, true> {
    object *o, *mine;

    void setup()
    {
        o = make(2);
        model.threads[1].no_memory = true;
        mine = make(1);
        model.as = 1;
        lw_ref_init(&mine->ref);
        model.as = 0;
        lw_ref_inc(&mine->ref);
    }
    void body(unsigned)
    {
        use_and_drop(o);
        use_and_drop(mine);
    }
    void check()
    {
        MODEL_ASSERT(destroyed == 2);
    }
};
MODEL_SUITE(ref_no_record);
