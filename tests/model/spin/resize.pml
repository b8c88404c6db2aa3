/* SPDX-License-Identifier: BSD-2-Clause */
/* A map whose table grows and shrinks under its readers: map.c step by step, for three entries, two of
 * which stay throughout, tables of two and four buckets, and one stripe. Sequentially consistent; what
 * grace periods are made of is in grace.pml, here one is a look at the sections that are open.
 *
 * A lookup of an entry that stays finds it. A scan sees it exactly once. Nobody comes by an entry or
 * a table that is freed.
 *
 * Plants: NO_GRACE, SAME_LINKS, MARK_FIRST, MARK_LOST, FREE_NOW, TABLE_FREE_NOW, SCAN_TWICE,
 * SCAN_SKIPS, UNLINK_CLEARS. */
#ifndef LOOKUPS
#define LOOKUPS 1 /* readers that look up */
#endif
#ifndef SCANS
#define SCANS 0 /* readers that scan */
#endif
#ifndef RESIZES
#define RESIZES 2
#endif

#define READERS (LOOKUPS + SCANS)
#define TABLES (RESIZES + 1)
#define NIL 0
#define A 1 /* of hash 0; stays */
#define B 2 /* of hash 2: in one chain with A in the small table only; stays */
#define C 3 /* of hash 0; comes and goes */
#define MOVED 9
#define HASH(e) ((e) == B -> 2 : 0)
#define REVERSED(hash) (((hash) >> 1) | (((hash) & 1) << 1))

byte table;
byte mask[TABLES];
byte next[TABLES]; /* 0: none */
byte bucket[TABLES * 4];
byte link[2 * 4];
bool stripe_locked;
bool freed[4];
bool table_freed[TABLES];
byte section[READERS]; /* odd: open */

#ifdef SAME_LINKS
#define LINK(t, e) link[e]
#else
#define LINK(t, e) link[((t) & 1) * 4 + (e)]
#endif
#define BUCKET(t, hash) bucket[(t) * 4 + ((hash) & mask[t])]

inline lock() { atomic { !stripe_locked -> stripe_locked = true } }
inline unlock() { stripe_locked = false }

/* The sections that are open now, and until they have ended. */
inline grace_start()
{
    d_step {
        k = 0;
        do
        :: k < READERS -> seen[k] = section[k]; k++
        :: else -> break
        od;
        k = 0
    }
}
inline grace_wait()
{
    do
    :: k < READERS ->
        (seen[k] & 1) == 0 || section[k] != seen[k];
        seen[k] = 0;
        k++
    :: else -> break
    od;
    k = 0
}

/* The table that a hash lives in now, and the head of its chain. */
inline find_bucket(hash)
{
    t = table;
    do
    :: assert(!table_freed[t]);
        e = BUCKET(t, hash);
        if
        :: e == MOVED -> t = next[t]; assert(t != 0)
        :: else -> break
        fi
    od
}

proctype lookup(byte me)
{
    byte t, e, key;
    bool found;
    if
    :: key = A
    :: key = B
    :: key = C
    fi;
    section[me]++;
    find_bucket(HASH(key));
    do
    :: e == NIL -> break
    :: else ->
        assert(!freed[e]);
        if
        :: e == key -> found = true; break
        :: else
        fi;
        e = LINK(t, e)
    od;
    assert(found || key == C);
    section[me]++
}

proctype scan(byte me)
{
    byte t, e, position, a, b;
    do
    :: position > 3 -> break
    :: else ->
        section[me]++;
        find_bucket(REVERSED(position));
        do
        :: e == NIL -> break
        :: else ->
            assert(!freed[e]);
            if
#ifdef SCAN_TWICE
            :: true ->
#else
            :: REVERSED(HASH(e)) >= position ->
#endif
                if
                :: e == A -> a++
                :: e == B -> b++
                :: else
                fi
            :: else
            fi;
            e = LINK(t, e)
        od;
        /* To the end of the hashes that this bucket holds. */
#ifdef SCAN_SKIPS
        t = table; /* which need not be the one that was walked */
#endif
        position = (position | (mask[t] == 1 -> 1 : 0)) + 1;
        section[me]++;
        t = 0
    od;
    assert(a == 1 && b == 1)
}

proctype resizer()
{
    byte from, to, unit, units, i, e, k;
    byte seen[READERS];
    do
    :: to == RESIZES -> break
    :: else ->
        from = to;
        to++;
        mask[to] = 4 - mask[from];
        next[from] = to;
        units = 2;
        unit = 0;
        do
        :: unit == units -> break
        :: else ->
            lock();
            i = unit;
#ifdef MARK_FIRST
            do
            :: i <= mask[from] ->
                e = bucket[from * 4 + i];
                bucket[from * 4 + i] = MOVED;
#else
            do
            :: i <= mask[from] ->
                e = bucket[from * 4 + i];
#endif
                do
                :: e == NIL -> break
                :: else ->
#ifdef SAME_LINKS
                    k = LINK(from, e);
#endif
                    LINK(to, e) = BUCKET(to, HASH(e));
                    BUCKET(to, HASH(e)) = e;
#ifdef SAME_LINKS
                    e = k;
                    k = 0
#else
                    e = LINK(from, e)
#endif
                od;
                i = i + units
            :: else -> break
            od;
            i = unit;
            do
            :: i <= mask[from] ->
#ifndef MARK_LOST
                bucket[from * 4 + i] = MOVED;
#endif
                i = i + units
            :: else -> break
            od;
            unit++;
            if
            :: unit == units -> table = to
            :: else
            fi;
            unlock()
        od;
        i = 0;
        e = 0;
        grace_start();
#ifdef TABLE_FREE_NOW
        table_freed[from] = true;
#endif
#ifndef NO_GRACE
        grace_wait();
#endif
#ifndef TABLE_FREE_NOW
        table_freed[from] = true
#endif
    od
}

/* C comes, and goes. */
proctype writer()
{
    byte t, e, before, k;
    byte seen[READERS];
    lock();
    find_bucket(HASH(C));
    LINK(t, C) = e;
    BUCKET(t, HASH(C)) = C;
    unlock();
    lock();
    find_bucket(HASH(C));
    before = NIL;
    do
    :: e == C -> break
    :: else -> assert(e != NIL); before = e; e = LINK(t, e)
    od;
    if
    :: before == NIL -> BUCKET(t, HASH(C)) = LINK(t, C)
    :: else -> LINK(t, before) = LINK(t, C)
    fi;
#ifdef UNLINK_CLEARS
    LINK(t, C) = NIL;
#endif
    unlock();
    t = 0;
    e = 0;
    before = 0;
    grace_start();
#ifndef FREE_NOW
    grace_wait();
#endif
    freed[C] = true
}

init
{
    byte r;
    atomic {
        /* Two buckets; the first holds A, B. */
        mask[0] = 1;
        bucket[0] = A;
        LINK(0, A) = B;
        run resizer();
        run writer();
        do
        :: r < LOOKUPS -> run lookup(r); r++
        :: r >= LOOKUPS && r < READERS -> run scan(r); r++
        :: else -> break
        od
    }
}
