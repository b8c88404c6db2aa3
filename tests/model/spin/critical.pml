/* SPDX-License-Identifier: BSD-2-Clause */
/* Critical sections beside CPython's own (Py_BEGIN_CRITICAL_SECTION on a free-threaded build): each
 * thread nests sections of both kinds as it likes. Nobody may wait for ever. A wait for one of our
 * mutexes suspends our sections and, as it detaches, CPython's; a wait for one of CPython's, which
 * we do not see, suspends CPython's alone. Sequentially consistent; a wait that is granted in any
 * order.
 *
 * Plants: KEEP_OURS, KEEP_THEIRS, OUTER_FIRST. */
#ifndef THREADS
#define THREADS 2
#endif
#ifndef DEPTH
#define DEPTH 3
#endif
#ifndef OURS
#define OURS 2
#endif
#ifndef THEIRS
#define THEIRS 2
#endif

#define LOCKS (OURS + THEIRS)
#define NOBODY 255
#define IS_OURS(lock) ((lock) < OURS)

byte owner[LOCKS] = NOBODY;

/* Sections of a thread, outermost first: which lock, and whether the thread has it. */
typedef sections {
    byte lock[DEPTH];
    bool held[DEPTH];
    byte depth;
};
sections has[THREADS];

inline suspend(ours)
{
    atomic {
        k = 0;
        do
        :: k < has[me].depth ->
            if
            :: IS_OURS(has[me].lock[k]) == ours && has[me].held[k] ->
                assert(owner[has[me].lock[k]] == me);
                owner[has[me].lock[k]] = NOBODY;
                has[me].held[k] = false
            :: else
            fi;
            k++
        :: else -> break
        od;
        k = 0
    }
}

/* The innermost of a kind; DEPTH: none. */
inline find(ours)
{
    atomic {
        top = DEPTH;
        k = 0;
        do
        :: k < has[me].depth ->
            if
            :: IS_OURS(has[me].lock[k]) == ours -> top = k
            :: else
            fi;
            k++
        :: else -> break
        od;
        k = 0
    }
}

/* A wait inside of CPython: it detaches, and has suspended its own sections. */
inline wait_theirs(lock)
{
#ifndef KEEP_THEIRS
    suspend(false);
#endif
    atomic { owner[lock] == NOBODY -> owner[lock] = me }
}

/* Attaching resumes the innermost of CPython's sections. */
inline attach()
{
    find(false);
    if
    :: top != DEPTH && !has[me].held[top] ->
        atomic { owner[has[me].lock[top]] == NOBODY -> owner[has[me].lock[top]] = me };
        has[me].held[top] = true
    :: else
    fi
}

/* A wait in park.c, for a mutex: handed over before it attaches, or locked after it. */
inline wait_ours(lock)
{
#ifndef KEEP_OURS
    suspend(true);
#endif
    done = false;
    do
    :: done -> break
    :: !done ->
#ifndef KEEP_THEIRS
        suspend(false);
#endif
        if
        :: atomic { owner[lock] == NOBODY -> owner[lock] = me }; attach(); done = true
        :: owner[lock] == NOBODY ->
            attach();
            atomic {
                if
                :: owner[lock] == NOBODY -> owner[lock] = me; done = true
                :: else
                fi
            }
        fi
    od
}

inline begin(new)
{
    atomic {
        got = owner[new] == NOBODY;
        if
        :: got -> owner[new] = me
        :: else
        fi
    }
    if
    :: got
    :: !got && IS_OURS(new) ->
        wait_ours(new);
#ifdef OUTER_FIRST
        /* As a wait does by itself: the outer section before the new one has begun. */
        resume(true)
#endif
    :: !got && !IS_OURS(new) -> wait_theirs(new)
    fi;
    atomic {
        has[me].lock[has[me].depth] = new;
        has[me].held[has[me].depth] = true;
        has[me].depth++
    }
}

inline resume(ours)
{
    find(ours);
    if
    :: top != DEPTH && !has[me].held[top] ->
        old = has[me].lock[top];
        at = top;
        if
        :: IS_OURS(old) -> wait_ours(old)
        :: else -> wait_theirs(old)
        fi;
        has[me].held[at] = true
    :: else
    fi
}

inline end()
{
    atomic {
        has[me].depth--;
        old = has[me].lock[has[me].depth];
        assert(has[me].held[has[me].depth] && owner[old] == me);
        has[me].held[has[me].depth] = false;
        owner[old] = NOBODY;
        was_ours = IS_OURS(old)
    }
    if
    :: was_ours -> resume(true)
    :: else -> resume(false)
    fi
}

/* So that states differ by nothing that is over. */
inline forget()
{
    atomic { top = 0; old = 0; at = 0; new = 0; got = false; done = false; was_ours = false }
}

proctype thread(byte me)
{
    byte k, top, old, at, new, begun;
    bool got, done, was_ours;
    do
    :: begun < DEPTH && has[me].depth < DEPTH ->
        /* Any lock that it has no section on yet. */
        atomic {
            select(new : 0 .. LOCKS - 1);
            k = 0;
            do
            :: k < has[me].depth && has[me].lock[k] != new -> k++
            :: else -> break
            od;
            got = k == has[me].depth;
            k = 0
        }
        if
        :: got -> begun++; begin(new)
        :: else
        fi;
        forget()
    :: has[me].depth > 0 ->
        end();
        /* What the thread is inside of now, it has. */
        find(true);
        assert(top == DEPTH || has[me].held[top]);
        find(false);
        assert(top == DEPTH || has[me].held[top]);
        forget()
    :: begun == DEPTH && has[me].depth == 0 -> break
    od
}

init
{
    byte i;
    atomic {
        do
        :: i < THREADS -> run thread(i); i++
        :: else -> break
        od
    }
}
