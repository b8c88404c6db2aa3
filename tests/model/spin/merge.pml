/* SPDX-License-Identifier: BSD-2-Clause */
/* One object with a biased count: ref.h, ref.c and the parts of thread.c that close and take a
 * record, step by step. The owner, others, and a thread that may take the record of an owner that
 * has gone. Each thread starts with a reference that the owner had counted. Sequentially consistent.
 *
 * Plants: LOST_MERGE, NOT_HANDED_OVER, LEFT_OPEN, CLOSED_FULL, UNLOCKED_MERGE, STORED_LAST. */
#ifndef OTHERS
#define OTHERS 2
#endif
#ifndef NEWCOMER
#define NEWCOMER 1
#endif
#ifndef ADDERS
#define ADDERS 2 /* so many of them add a reference at some time */
#endif
#ifndef FINDER
#define FINDER 0 /* 1: a thread that has no reference, and tries to get one */
#endif
#define THREADS (1 + OTHERS + NEWCOMER)

#define BIASED 0
#define QUEUED 1
#define MERGED 2
#define ONE 4
#define STATE(word) ((word) & 3)

#define OWNED 1 /* the field owner: the record; a link in its queue; nobody */
#define LINKED 2
#define NOBODY 0

byte own;
short shared; /* the count times ONE, plus the state */
byte owner = OWNED;

bool record_locked;
bool alive = true;
bool in_queue;
bool record_free; /* the owner has exited: the record is there for the next thread */
bool has_record[THREADS + FINDER]; /* that one record; the others' own do not matter here */
byte references[THREADS + FINDER];
bool destroyed;

inline lock_record() { atomic { !record_locked -> record_locked = true } }
inline unlock_record() { record_locked = false }
/* Whoever has a reference may touch the object. */
inline touch() { assert(!destroyed) }
inline destroy() { assert(!destroyed); destroyed = true }

/* By the one merger of a queued count. */
inline merge()
{
    l = own;
    s = shared;
    owner = NOBODY;
    own = 0;
#ifdef LOST_MERGE
    shared = ((s - STATE(s)) + (l - 1) * ONE) | MERGED;
    s = ((s - STATE(s)) + (l - 1) * ONE) | MERGED;
#else
    do
    :: atomic {
            if
            :: shared == s -> s = ((s - STATE(s)) + (l - 1) * ONE) | MERGED; shared = s; break
            :: else -> s = shared
            fi
        }
    od;
#endif
    l = 0
}

inline drop_merged()
{
    atomic { s = shared; shared = shared - ONE }
    if
    :: s == (ONE | MERGED) -> destroy()
    :: else
    fi
}

inline drain()
{
    do
    :: in_queue ->
        lock_record();
        took = in_queue;
        in_queue = false;
        unlock_record();
        if
        :: took ->
            touch();
            merge();
            if
            :: s == MERGED -> destroy()
            :: else
            fi;
            s = 0;
            took = false
        :: else
        fi
    :: else -> break
    od
}

inline hand_over()
{
    lock_record();
    if
    :: alive ->
        touch();
        owner = LINKED;
        in_queue = true;
        unlock_record();
    :: else ->
        touch();
#ifdef UNLOCKED_MERGE
        unlock_record();
        merge();
#else
        merge();
        unlock_record();
#endif
        if
        :: s == MERGED -> destroy()
        :: else
        fi
    fi;
    s = 0
}

inline drop_shared()
{
    s = shared;
    do
    :: STATE(s) == MERGED -> drop_merged(); break
    :: else ->
        atomic {
            if
            :: shared != s -> s = shared
            :: shared == s && s == BIASED -> shared = QUEUED; took = true
            :: else -> shared = s - ONE; s = 0; break
            fi
        }
        if
        :: took ->
            took = false;
            s = 0;
#ifndef NOT_HANDED_OVER
            hand_over();
#endif
            break
        :: else
        fi
    od;
    s = 0
}

inline drop_last_local()
{
    s = shared;
    own = 0;
    do
    :: STATE(s) == QUEUED -> break
    :: s == BIASED ->
#ifdef STORED_LAST
        shared = MERGED;
        destroy();
        break
#else
        atomic {
            if
            :: shared == s -> shared = MERGED; took = true
            :: else -> s = shared
            fi
        }
        if
        :: took -> took = false; destroy(); break
        :: else
        fi
#endif
    :: else ->
        atomic {
            if
            :: shared == s -> shared = (s + ONE) | MERGED; took = true
            :: else -> s = shared
            fi
        }
        if
        :: took -> took = false; touch(); owner = NOBODY; drop_merged(); break
        :: else
        fi
    od;
    s = 0
}

inline drop()
{
    touch();
    references[me]--;
    if
    :: has_record[me] && owner == OWNED && own != 0 ->
        if
        :: own > 1 -> own = own - 1
        :: else -> drop_last_local()
        fi
    :: else -> drop_shared()
    fi;
    if
    :: has_record[me] -> drain()
    :: else
    fi
}

inline add()
{
    touch();
    references[me]++;
    if
    :: has_record[me] && owner == OWNED -> own = own + 1
    :: else -> atomic { shared = shared + ONE }
    fi
}

inline leave()
{
    do
    :: drain();
        lock_record();
        took = in_queue;
#ifdef CLOSED_FULL
        took = false;
#endif
#ifndef LEFT_OPEN
        alive = took;
#endif
        unlock_record();
        if
        :: took -> took = false
        :: else -> break
        fi
    od;
    has_record[me] = false;
    record_free = true
}

/* Of an object that was found: its memory stays, it may be destroyed. */
inline try_add()
{
    s = shared;
    do
    :: s == MERGED -> break
    :: else ->
        atomic {
            if
            :: shared == s -> shared = s + ONE; references[me]++; break
            :: else -> s = shared
            fi
        }
    od;
    s = 0
}

proctype finder(byte me)
{
    byte l;
    short s;
    bool took;
    try_add();
    if
    :: references[me] > 0 -> drop()
    :: else
    fi
}

proctype user(byte me; bool may_take)
{
    byte l;
    short s;
    bool took, added;
    do
    :: references[me] > 0 -> drop()
    :: references[me] > 0 && !added && me < ADDERS -> added = true; add()
    :: may_take && !has_record[me] ->
        atomic {
            if
            :: record_free -> record_free = false; has_record[me] = true
            :: else -> may_take = false
            fi
        }
        if
        :: has_record[me] -> lock_record(); alive = true; unlock_record(); may_take = false
        :: else
        fi
    :: references[me] == 0 -> break
    od;
    if
    :: has_record[me] -> leave()
    :: else
    fi
}

init
{
    byte i;
    atomic {
        own = THREADS;
        has_record[0] = true;
        do
        :: i < THREADS -> references[i] = 1; i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < THREADS -> run user(i, i > OTHERS); i++
        :: else -> break
        od;
        if
        :: FINDER == 1 -> run finder(THREADS)
        :: else
        fi
    }
    _nr_pr == 1;
    assert(destroyed)
}
