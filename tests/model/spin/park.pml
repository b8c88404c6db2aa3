/* SPDX-License-Identifier: BSD-2-Clause */
/* A lock with a bit for waiters, as Rust's parking_lot has it, and the wait queue of its address:
 * park.c step by step, with more threads than the model checker of the sources can take. (The
 * mutex's own announcements are in mutex.cpp.) Sequentially consistent.
 *
 * Plants: NO_VALIDATE, PARKED_LOST, UNLOCK_BY_STORE, WAKE_LOST, LEAVE_CLEARS. */
#ifndef THREADS
#define THREADS 3
#endif
#ifndef TIMED
#define TIMED 1 /* so many of them wait with a limit */
#endif
#ifndef TURNS
#define TURNS 2
#endif

#define LOCKED 1
#define PARKED 2
#define NOBODY 255

byte word;
bool queue_locked;
byte queue[THREADS];
byte waiting; /* in the queue */
bool queued[THREADS];
bool woken[THREADS];
bool asleep[THREADS]; /* from queueing until the wait is over: its node is alive */
byte inside;

inline lock_queue() { atomic { !queue_locked -> queue_locked = true } }
inline unlock_queue() { queue_locked = false }

/* Takes the node at place `at` out of the queue. Under its lock. */
inline take(at)
{
    d_step {
        queued[queue[at]] = false;
        k = at;
        do
        :: k + 1 < waiting -> queue[k] = queue[k + 1]; k++
        :: else -> break
        od;
        waiting--;
        queue[waiting] = NOBODY;
        k = 0
    }
}

inline unlock()
{
#ifdef UNLOCK_BY_STORE
    seen = word;
    if
    :: seen == LOCKED -> word = 0; goto unlocked
    :: else
    fi;
#else
    atomic {
        if
        :: word == LOCKED -> word = 0; goto unlocked
        :: else
        fi
    }
#endif
    assert(word & LOCKED);
    lock_queue();
    if
    :: waiting > 0 -> first = queue[0]; take(0)
    :: else -> first = NOBODY
    fi;
#ifdef PARKED_LOST
    word = 0;
#else
    word = (waiting > 0 -> PARKED : 0);
#endif
    unlock_queue();
    if
    :: first != NOBODY ->
        assert(asleep[first]); /* the wake may touch its node */
        woken[first] = true
    :: else
    fi;
    first = NOBODY;
unlocked:
    skip
}

proctype locker(byte me; bool timed)
{
    byte seen, turn, k, first = NOBODY;
    do
    :: turn == TURNS -> break
    :: else ->
        turn++;
again:
        atomic {
            if
            :: !(word & LOCKED) -> word = word | LOCKED; goto locked
            :: else
            fi
        }
        seen = word;
        if
        :: !(seen & LOCKED) -> goto again
        :: else
        fi;
        if
        :: !(seen & PARKED) ->
            atomic {
                if
                :: word == seen -> word = seen | PARKED
                :: else -> goto again
                fi
            }
        :: else
        fi;
        lock_queue();
#ifndef NO_VALIDATE
        if
        :: word != (LOCKED | PARKED) -> unlock_queue(); goto again
        :: else
        fi;
#endif
        d_step {
            queue[waiting] = me;
            waiting++;
            queued[me] = true;
            asleep[me] = true;
            woken[me] = false
        }
        unlock_queue();
        if
        :: woken[me]
        :: timed ->
            /* The limit has passed. */
            lock_queue();
            if
            :: queued[me] ->
                d_step {
                    k = 0;
                    do
                    :: queue[k] != me -> k++
                    :: else -> break
                    od;
                    seen = k;
                    k = 0
                }
                take(seen);
#if defined(LEAVE_CLEARS)
                word = word & LOCKED;
#else
                if
                :: waiting == 0 -> word = word & LOCKED
                :: else
                fi;
#endif
                unlock_queue();
                asleep[me] = false;
                seen = 0;
                goto gave_up
            :: else ->
                unlock_queue();
#ifdef WAKE_LOST
                asleep[me] = false;
                goto gave_up
#else
                woken[me]
#endif
            fi
        fi;
        d_step { asleep[me] = false; woken[me] = false; seen = 0 }
        goto again;
locked:
        seen = 0;
        inside++;
        assert(inside == 1);
        inside--;
        unlock();
        seen = 0;
gave_up:
        skip
    od
}

init
{
    byte i;
    atomic {
        do
        :: i < THREADS -> queue[i] = NOBODY; i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < THREADS -> run locker(i, i < TIMED); i++
        :: else -> break
        od
    }
    _nr_pr == 1;
    assert(word == 0 && waiting == 0 && !queue_locked)
}
