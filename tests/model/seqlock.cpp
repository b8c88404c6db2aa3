/* SPDX-License-Identifier: BSD-2-Clause */
/* The shipped source, over the shipped mutex. */
#include "model.hpp"

/* One look beside a writer, then the mutex. */
#define LW_SEQLOCK_LOOKS 2

#include "locks/mutex.c"
#include "locks/seqlock.c"

/* Two words that each write makes equal. */
struct paired {
    lw_seqlock_t s;
    lw_atomic_u64 data[2];
    LW_PLAIN(int) written;

    void write()
    {
        uint64_t words[2];
        lw_seqlock_write_lock(&s);
        LW_PLAIN_SET(written, LW_PLAIN_GET(written) + 1);
        words[0] = words[1] = (uint64_t)LW_PLAIN_GET(written);
        lw_seqlock_store(data, words, 2);
        lw_seqlock_write_unlock(&s);
    }
    uint64_t read()
    {
        uint64_t words[2];
        lw_seqlock_read(&s, words, data, 2);
        MODEL_ASSERT(words[0] == words[1]);
        return words[0];
    }
    uint64_t read_in_rounds()
    {
        uint64_t words[2];
        lw_seqlock_reader r = LW_SEQLOCK_READER_INIT;
        do {
            lw_seqlock_enter(&s, &r);
            lw_seqlock_load(words, data, 2);
        } while (lw_seqlock_again(&s, &r));
        MODEL_ASSERT(words[0] == words[1]);
        return words[0];
    }
    /* 0 as well where there was no answer. */
    uint64_t read_in_parts()
    {
        uint64_t words[2], sequence = lw_seqlock_read_begin(&s);
        lw_seqlock_load(words, data, 2);
        if (lw_seqlock_read_retry(&s, sequence)) {
            return 0;
        }
        MODEL_ASSERT(words[0] == words[1] && words[0] == sequence / 2);
        return words[0];
    }
    void check(int writes)
    {
        MODEL_ASSERT(LW_PLAIN_GET(written) == writes);
        MODEL_ASSERT(s.sequence.latest() == (uint64_t)writes * 2 && s.writers.word.latest() == 0);
        MODEL_ASSERT(data[0].latest() == data[1].latest());
    }
};

/* No mixture, and nothing older than what the reader has seen before. */
template <typename Suite, uint64_t (paired::*READ)()>
struct beside_two_writes : model_suite<Suite, 2, false> {
    paired p;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            p.write();
            p.write();
        } else {
            uint64_t first = (p.*READ)();
            MODEL_ASSERT((p.*READ)() >= first);
        }
    }
    void check()
    {
        p.check(2);
    }
};

struct seqlock_pair : beside_two_writes<seqlock_pair, &paired::read> {};
MODEL_SUITE(seqlock_pair);

struct seqlock_rounds : beside_two_writes<seqlock_rounds, &paired::read_in_rounds> {};
MODEL_SUITE(seqlock_rounds);

struct seqlock_two_writers : model_suite<seqlock_two_writers, 3, false> {
    paired p;

    void setup() {}
    void body(unsigned i)
    {
        if (i != 2) {
            p.write();
        } else {
            (void)p.read();
        }
    }
    void check()
    {
        p.check(2);
    }
};
MODEL_SUITE(seqlock_two_writers);

struct seqlock_two_readers : model_suite<seqlock_two_readers, 3, false> {
    paired p;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            p.write();
        } else {
            (void)p.read();
        }
    }
    void check()
    {
        p.check(1);
    }
};
MODEL_SUITE(seqlock_two_readers);

struct seqlock_parts : model_suite<seqlock_parts, 2, false> {
    paired p;

    void setup() {}
    void body(unsigned i)
    {
        if (i == 0) {
            p.write();
            p.write();
        } else {
            uint64_t first = p.read_in_parts(), second = p.read_in_parts();
            MODEL_ASSERT(second == 0 || second >= first);
        }
    }
    void check()
    {
        p.check(2);
    }
};
MODEL_SUITE(seqlock_parts);

/* A single writer without the mutex. */
struct seqlock_lone : model_suite<seqlock_lone, 2, false> {
    paired p;

    void setup() {}
    void body(unsigned i)
    {
        uint64_t n, words[2];
        if (i != 0) {
            (void)p.read_in_parts();
            return;
        }
        for (n = 1; n <= 2; n++) {
            words[0] = words[1] = n;
            lw_seqlock_write_begin(&p.s);
            lw_seqlock_store(p.data, words, 2);
            lw_seqlock_write_end(&p.s);
        }
    }
    void check()
    {
        MODEL_ASSERT(p.s.sequence.latest() == 4);
    }
};
MODEL_SUITE(seqlock_lone);
