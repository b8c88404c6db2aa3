/* SPDX-License-Identifier: BSD-2-Clause */
/* Grace periods on x86: each thread's stores wait in a buffer of its own, in order, until some moment
 * later; its loads look there first. A locked operation empties it; membarrier empties the buffers
 * of all threads, one after the other, while they run. That is what the asymmetric pair rests on: the
 * section has no fence at all. smr.h, smr.c and the attach of thread.c step by step.
 *
 * Readers open sections; retirers take an object each out of its place and free it after a grace period;
 * with LONE a single retirer frees at once while no other thread is counted, and readers count
 * themselves first.
 *
 * Plants: NO_DEAR, STAMP_LOW, NO_WAIT, LEAVE_FIRST, UNCOUNTED, NO_ATTACH_DEAR. */
#ifndef READERS
#define READERS 2
#endif
#ifndef RETIRERS
#define RETIRERS 1
#endif
#ifndef SECTIONS
#define SECTIONS 2
#endif
#define THREADS (RETIRERS + READERS)
#define ROOM 3 /* stores in a buffer */

/* Memory: the epochs of the threads, then the places of the objects. */
#define EPOCH(t) (t)
#define PLACE(t) (THREADS + (t))
byte memory[THREADS + RETIRERS];
byte clock = 1;
byte live = RETIRERS;
bool freed[RETIRERS];

byte address[THREADS * ROOM];
byte value[THREADS * ROOM];
byte pending[THREADS];

/* The oldest store of thread t reaches memory. */
inline commit(t)
{
    d_step {
        memory[address[(t) * ROOM]] = value[(t) * ROOM];
        k = 1;
        do
        :: k < pending[t] ->
            address[(t) * ROOM + k - 1] = address[(t) * ROOM + k];
            value[(t) * ROOM + k - 1] = value[(t) * ROOM + k];
            k++
        :: else -> break
        od;
        pending[t]--;
        address[(t) * ROOM + pending[t]] = 0;
        value[(t) * ROOM + pending[t]] = 0;
        k = 0
    }
}

inline settle(t)
{
    atomic {
        do
        :: pending[t] > 0 -> commit(t)
        :: else -> break
        od
    }
}

inline store(where, what)
{
    atomic {
        pending[me] < ROOM -> /* else it waits for room */
        address[me * ROOM + pending[me]] = where;
        value[me * ROOM + pending[me]] = what;
        pending[me]++
    }
}

inline load(where, to)
{
    d_step {
        to = memory[where];
        k = 0;
        do
        :: k < pending[me] ->
            if
            :: address[me * ROOM + k] == where -> to = value[me * ROOM + k]
            :: else
            fi;
            k++
        :: else -> break
        od;
        k = 0
    }
}

inline membarrier()
{
    settle(me);
    i = 0;
    do
    :: i < THREADS -> settle(i); i++
    :: else -> break
    od;
    i = 0
}

proctype processor(byte t)
{
    byte k;
end:
    do
    :: atomic { pending[t] > 0 -> commit(t) }
    od
}

proctype reader(byte me)
{
    byte k, i, epoch, found, section, which;
#if defined(LONE) && !defined(UNCOUNTED)
    atomic { settle(me); live++ }
#ifndef NO_ATTACH_DEAR
    membarrier();
#endif
#endif
    do
    :: section == SECTIONS -> break
    :: else ->
        section++;
        epoch = clock;
        store(EPOCH(me), epoch);
        do
        :: which < RETIRERS ->
            load(PLACE(which), found);
            if
            :: found != 0 ->
                assert(!freed[which]);
#ifdef LEAVE_FIRST
                store(EPOCH(me), 0);
#endif
                assert(!freed[which])
            :: else
            fi;
            which++
        :: else -> break
        od;
        which = 0;
        found = 0;
        epoch = 0;
        store(EPOCH(me), 0)
    od
}

proctype retirer(byte me)
{
    byte k, i, stamp, epoch;
    store(PLACE(me), 0);
#ifdef LONE
    if
    :: live == RETIRERS -> goto release
    :: else
    fi;
#endif
#ifndef NO_DEAR
    membarrier();
#endif
    atomic { settle(me); clock++; stamp = clock }
#ifdef STAMP_LOW
    stamp--;
#endif
#ifndef NO_WAIT
scan:
    do
    :: i < THREADS ->
        epoch = memory[EPOCH(i)];
        if
        :: epoch != 0 && epoch < stamp ->
            /* Later. */
            memory[EPOCH(i)] != epoch;
            i = 0;
            epoch = 0;
            goto scan
        :: else
        fi;
        i++
    :: else -> break
    od;
#endif
release:
    freed[me] = true
}

init
{
    byte t;
    atomic {
        do
        :: t < THREADS -> run processor(t); t++
        :: else -> break
        od;
        t = 0;
        do
        :: t < RETIRERS -> memory[PLACE(t)] = 1; t++
        :: else -> break
        od;
        t = 0;
        do
        :: t < RETIRERS -> run retirer(t); t++
        :: t >= RETIRERS && t < THREADS -> run reader(t); t++
        :: else -> break
        od
    }
}
