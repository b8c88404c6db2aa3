/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped reclamation, over the shipped thread records. */
#include "model.hpp"

#include "lifetime/smr.c"

struct object {
    lw_smr_node node; /* first */
    LW_PLAIN(int) data;
};

static int freed;

/* A write, so that a reader whose section is not ordered before it is a race; then other bytes. */
static bool release_object(lw_smr_node *node)
{
    object *o = (object *)(void *)node;
    LW_PLAIN_SET(o->data, -1);
    freed++;
    model_free(o);
    return true;
}

static object *make(void)
{
    object *o = model_new<object>();
    LW_PLAIN_SET(o->data, 1);
    return o;
}

/* A moment passes between the find and the use. */
static void use(object *o)
{
    rl::ctx().sched();
    MODEL_ASSERT(LW_PLAIN_GET(o->data) == 1);
}

static void read_once(lw_atomic_ptr *head)
{
    object *o;
    lw_smr_enter();
    o = (object *)lw_atomic_load_acquire_ptr(head);
    if (o != NULL) {
        use(o);
    }
    lw_smr_exit();
}

/* The weakest way to take something out of a structure. */
static object *unlink(lw_atomic_ptr *head)
{
    object *o = (object *)lw_atomic_load_relaxed_ptr(head);
    lw_atomic_store_relaxed_ptr(head, NULL);
    return o;
}

static void retire(object *o)
{
    lw_smr_retire_node(&o->node, release_object, 0);
}

/* All that is left goes once the threads are done. */
static void check_freed(int count)
{
    int round;
    for (round = 0; round < 3; round++) {
        (void)lw_smr_poll();
    }
    MODEL_ASSERT(freed == count);
}

/* A reader with two sections beside a writer that takes the object out and asks for its end. */
struct smr_read : model_suite<smr_read, 2, false> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        model_attach(0);
        model_attach(1);
        lw_atomic_store_relaxed_ptr(&head, make());
    }
    void body(unsigned i)
    {
        if (i == 0) {
            retire(unlink(&head));
            (void)lw_smr_poll();
            (void)lw_smr_poll();
        } else {
            read_once(&head);
            read_once(&head);
        }
    }
    void check()
    {
        check_freed(1);
    }
};
MODEL_SUITE(smr_read);

/* Sections in a section: only the outermost opens and ends. */
struct smr_nested : model_suite<smr_nested, 2, false> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        model_attach(0);
        model_attach(1);
        lw_atomic_store_relaxed_ptr(&head, make());
    }
    void body(unsigned i)
    {
        if (i == 0) {
            retire(unlink(&head));
            (void)lw_smr_poll();
        } else {
            object *o;
            lw_smr_enter();
            o = (object *)lw_atomic_load_acquire_ptr(&head);
            lw_smr_enter();
            lw_smr_exit();
            MODEL_ASSERT(lw_smr_in_section());
            MODEL_ASSERT(o == NULL || LW_PLAIN_GET(o->data) == 1);
            lw_smr_exit();
            MODEL_ASSERT(!lw_smr_in_section());
        }
    }
    void check()
    {
        check_freed(1);
    }
};
MODEL_SUITE(smr_nested);

/* The lone thread retires inside of its own section. */
struct smr_own_section : model_suite<smr_own_section, 1, false> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        model_attach(0);
        lw_atomic_store_relaxed_ptr(&head, make());
    }
    void body(unsigned)
    {
        object *o;
        lw_smr_enter();
        o = unlink(&head);
        retire(o);
        MODEL_ASSERT(lw_smr_poll() == 0 && lw_smr_flush() == LW_BUSY);
        MODEL_ASSERT(lw_smr_synchronize() == LW_BUSY);
        retire(make());
        retire(make());
        MODEL_ASSERT(freed == 0 && LW_PLAIN_GET(o->data) == 1);
        lw_smr_exit();
        MODEL_ASSERT(lw_smr_flush() == LW_OK && freed == 3);
    }
    void check() {}
};
MODEL_SUITE(smr_own_section);

/* The object is replaced, and its successor taken out as well: epochs go on under an open
 * section. */
struct smr_replace : model_suite<smr_replace, 2, false> {
    lw_atomic_ptr head;
    object *next;

    void setup()
    {
        freed = 0;
        model_attach(0);
        model_attach(1);
        lw_atomic_store_relaxed_ptr(&head, make());
        next = make();
    }
    void body(unsigned i)
    {
        if (i == 0) {
            object *old = (object *)lw_atomic_load_relaxed_ptr(&head);
            lw_atomic_store_release_ptr(&head, next);
            retire(old);
            (void)lw_smr_poll();
            retire(unlink(&head));
            (void)lw_smr_poll();
        } else {
            read_once(&head);
            read_once(&head);
        }
    }
    void check()
    {
        check_freed(2);
    }
};
MODEL_SUITE(smr_replace);

/* Two retirers: each other's advances of the epoch. */
struct smr_two_retirers : model_suite<smr_two_retirers, 3, false> {
    lw_atomic_ptr heads[2];

    void setup()
    {
        freed = 0;
        model_attach(0);
        model_attach(1);
        model_attach(2);
        lw_atomic_store_relaxed_ptr(&heads[0], make());
        lw_atomic_store_relaxed_ptr(&heads[1], make());
    }
    void body(unsigned i)
    {
        if (i == 2) {
            object *a, *b;
            lw_smr_enter();
            a = (object *)lw_atomic_load_acquire_ptr(&heads[0]);
            b = (object *)lw_atomic_load_acquire_ptr(&heads[1]);
            if (a != NULL) {
                use(a);
            }
            if (b != NULL) {
                use(b);
            }
            lw_smr_exit();
        } else {
            retire(unlink(&heads[i]));
            (void)lw_smr_poll();
        }
    }
    void check()
    {
        (void)lw_smr_poll();
        model.as = 1;
        check_freed(2);
    }
};
MODEL_SUITE(smr_two_retirers);

/* The lone thread frees at once, beside a thread that starts and reads. */
struct smr_alone : model_suite<smr_alone, 2, false> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        model_attach(0);
        lw_atomic_store_relaxed_ptr(&head, make());
    }
    void body(unsigned i)
    {
        if (i == 0) {
            retire(unlink(&head));
        } else {
            (void)lw_thread_self();
            read_once(&head);
        }
    }
    void check()
    {
        check_freed(1);
    }
};
MODEL_SUITE(smr_alone);

/* A reader that leaves makes the retirer lone: what it read is read before the free. */
struct smr_leave : model_suite<smr_leave, 2, true> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        model_attach(0);
        model_attach(1);
        lw_atomic_store_relaxed_ptr(&head, make());
    }
    void body(unsigned i)
    {
        if (i == 0) {
            retire(unlink(&head));
        } else {
            read_once(&head);
        }
    }
    void check()
    {
        model.as = 2;
        check_freed(1);
    }
};
MODEL_SUITE(smr_leave);

/* A thread that ends inside of a section, before the module was ever used: the section ends with
 * it. */
struct smr_exit_inside : model_suite<smr_exit_inside, 2, true> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        model_attach(0);
        model_attach(1);
        model_attach(2);
        lw_atomic_store_relaxed_ptr(&head, make());
        lw_rl_quiet_ = NULL;
    }
    void body(unsigned i)
    {
        if (i == 0) {
            retire(unlink(&head));
            MODEL_ASSERT(lw_smr_flush() == LW_OK);
            MODEL_ASSERT(freed == 1);
        } else {
            object *o;
            lw_smr_enter();
            o = (object *)lw_atomic_load_acquire_ptr(&head);
            MODEL_ASSERT(o == NULL || LW_PLAIN_GET(o->data) == 1);
        }
    }
    void check() {}
};
MODEL_SUITE(smr_exit_inside);

struct killed {};

static bool release_and_end(lw_smr_node *node)
{
    (void)release_object(node);
    throw killed();
}

/* A thread that ends inside of a free function, as a host may do to it: its record is fit for the
 * next. */
struct smr_killed : model_suite<smr_killed, 2, true> {
    lw_atomic_ptr heads[2];

    void setup()
    {
        freed = 0;
        model_attach(0);
        lw_atomic_store_relaxed_ptr(&heads[0], make());
        lw_atomic_store_relaxed_ptr(&heads[1], make());
    }
    void body(unsigned i)
    {
        if (i == 0) {
            try {
                lw_smr_retire_node(&unlink(&heads[0])->node, release_and_end, 0);
                (void)lw_smr_poll();
            } catch (const killed &) {
            }
        } else {
            (void)lw_thread_self();
            retire(unlink(&heads[1]));
            MODEL_ASSERT(lw_smr_flush() == LW_OK);
            MODEL_ASSERT(!lw_record_of(lw_thread_self())->freeing);
        }
    }
    void check()
    {
        MODEL_ASSERT(freed == 2);
    }
};
MODEL_SUITE(smr_killed);

/* A retirer that exits with its object pending: another thread inherits it. */
struct smr_orphan : model_suite<smr_orphan, 3, true> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        model_attach(0);
        model_attach(1);
        model_attach(2);
        lw_atomic_store_relaxed_ptr(&head, make());
    }
    void body(unsigned i)
    {
        if (i == 0) {
            retire(unlink(&head));
        } else if (i == 1) {
            read_once(&head);
        } else {
            (void)lw_smr_poll();
            (void)lw_smr_poll();
        }
    }
    void check()
    {
        model.as = 3;
        check_freed(1);
    }
};
MODEL_SUITE(smr_orphan);

/* Thread 1 is a reader that no record could be made for. */
template <class D, bool exits>
struct smr_no_record : model_suite<D, 2, exits> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        model_attach(0);
        model.threads[1].no_memory = true;
        lw_atomic_store_relaxed_ptr(&head, make());
    }
};

/* Its sections are nested: only the outermost counts. */
struct smr_anonymous : smr_no_record<smr_anonymous, false> {
    void body(unsigned i)
    {
        if (i == 0) {
            retire(unlink(&head));
            (void)lw_smr_poll();
        } else {
            lw_smr_enter();
            read_once(&head);
            MODEL_ASSERT(lw_smr_in_section());
            lw_smr_exit();
            read_once(&head);
        }
    }
    void check()
    {
        check_freed(1);
    }
};
MODEL_SUITE(smr_anonymous);

/* One that ends inside of its section: the section ends with it, and the thread gets no record in
 * the rest of its exit. */
struct smr_anonymous_exit : smr_no_record<smr_anonymous_exit, true> {
    void body(unsigned i)
    {
        if (i == 0) {
            retire(unlink(&head));
            MODEL_ASSERT(lw_smr_flush() == LW_OK);
            MODEL_ASSERT(freed == 1);
        } else {
            object *o;
            lw_smr_enter();
            model.threads[1].no_memory = false;
            o = (object *)lw_atomic_load_acquire_ptr(&head);
            if (o != NULL) {
                use(o);
            }
            model_thread_exit();
            MODEL_ASSERT(lw_thread_self() == NULL && !lw_smr_in_section());
        }
    }
    void check() {}
};
MODEL_SUITE(smr_anonymous_exit);

/* The same beside a thread that is not alone: the scan, not the shortcut. */
struct smr_anonymous_scan : model_suite<smr_anonymous_scan, 2, false> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        model_attach(0);
        model_attach(2);
        model.threads[1].no_memory = true;
        lw_atomic_store_relaxed_ptr(&head, make());
    }
    void body(unsigned i)
    {
        if (i == 0) {
            retire(unlink(&head));
            (void)lw_smr_poll();
        } else {
            read_once(&head);
            read_once(&head);
        }
    }
    void check()
    {
        check_freed(1);
    }
};
MODEL_SUITE(smr_anonymous_scan);

/* A retirer without a record: its objects are orphans from the start. */
struct smr_anonymous_retire : model_suite<smr_anonymous_retire, 2, false> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        model_attach(1);
        lw_atomic_store_relaxed_ptr(&head, make());
        model.threads[0].no_memory = true;
    }
    void body(unsigned i)
    {
        if (i == 0) {
            retire(unlink(&head));
            (void)lw_smr_poll();
            (void)lw_smr_poll();
        } else {
            read_once(&head);
            read_once(&head);
        }
    }
    void check()
    {
        check_freed(1);
    }
};
MODEL_SUITE(smr_anonymous_retire);

/* A reader exits, a new thread takes its record and opens a section: who sees that section has seen
 * the end of the dead one's. */
struct smr_adopted : model_suite<smr_adopted, 3, false> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        model_attach(0);
        model_attach(1);
        lw_atomic_store_relaxed_ptr(&head, make());
    }
    void body(unsigned i)
    {
        if (i == 0) {
            retire(unlink(&head));
            (void)lw_smr_poll();
        } else if (i == 1) {
            read_once(&head);
            model_thread_exit();
        } else {
            (void)lw_thread_self();
            lw_smr_enter();
            lw_smr_exit();
        }
    }
    void check()
    {
        check_freed(1);
    }
};
MODEL_SUITE(smr_adopted);

/* Waiting in place of retiring; the caller frees. */
struct smr_wait : model_suite<smr_wait, 2, false> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        model_attach(0);
        model_attach(1);
        lw_atomic_store_relaxed_ptr(&head, make());
    }
    void body(unsigned i)
    {
        if (i == 0) {
            object *o = unlink(&head);
            MODEL_ASSERT(lw_smr_synchronize() == LW_OK);
            (void)release_object(&o->node);
        } else {
            read_once(&head);
            read_once(&head);
        }
    }
    void check()
    {
        MODEL_ASSERT(freed == 1);
    }
};
MODEL_SUITE(smr_wait);

/* A grace period that one thread starts and another asks for. */
struct smr_grace : model_suite<smr_grace, 3, false> {
    lw_atomic_ptr head;
    object *o;
    lw_atomic_u64 grace;

    void setup()
    {
        freed = 0;
        model_attach(0);
        model_attach(1);
        model_attach(2);
        o = make();
        lw_atomic_store_relaxed_ptr(&head, o);
    }
    void body(unsigned i)
    {
        if (i == 0) {
            (void)unlink(&head);
            lw_atomic_store_release_u64(&grace, lw_smr_grace_start());
        } else if (i == 1) {
            read_once(&head);
        } else {
            uint64_t g = lw_atomic_load_acquire_u64(&grace);
            if (g != 0 && lw_smr_grace_passed(g)) {
                (void)release_object(&o->node);
            }
        }
    }
    void check() {}
};
MODEL_SUITE(smr_grace);

/* Flush returns when all is freed, beside a reader. */
struct smr_flushed : model_suite<smr_flushed, 2, false> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        model_attach(0);
        model_attach(1);
        lw_atomic_store_relaxed_ptr(&head, make());
    }
    void body(unsigned i)
    {
        if (i == 0) {
            retire(unlink(&head));
            MODEL_ASSERT(lw_smr_flush() == LW_OK);
            MODEL_ASSERT(freed == 1);
        } else {
            read_once(&head);
        }
    }
    void check() {}
};
MODEL_SUITE(smr_flushed);

static unsigned refuses;

static bool release_elsewhere(lw_smr_node *node)
{
    return model_self() != refuses && release_object(node);
}

/* A free function that wants another thread. */
struct smr_refused : model_suite<smr_refused, 2, false> {
    lw_atomic_ptr head;

    void setup()
    {
        freed = 0;
        refuses = 0;
        model_attach(0);
        model_attach(1);
        lw_atomic_store_relaxed_ptr(&head, make());
    }
    void body(unsigned i)
    {
        if (i == 0) {
            lw_smr_retire_node(&unlink(&head)->node, release_elsewhere, 0);
            (void)lw_smr_poll();
        } else {
            read_once(&head);
            (void)lw_smr_poll();
        }
    }
    void check()
    {
        (void)lw_smr_poll();
        (void)lw_smr_poll();
        model.as = 1;
        check_freed(1);
    }
};
MODEL_SUITE(smr_refused);
