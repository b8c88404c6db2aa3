/* SPDX-License-Identifier: BSD-2-Clause */
/* Between a harness and the part that drives Relacy, which is compiled once for all of them. */
#ifndef LATCHWORK_MODEL_ENGINE_HPP
#define LATCHWORK_MODEL_ENGINE_HPP

#define LW_ATOMIC_RELACY
#include <latchwork/atomic.h>

enum { MODEL_THREADS = 4 }; /* of a suite: 3 at most; one number more for code before and after */

/* What a suite is made of. One object an execution; all of it is zero, and so valid, at first. */
struct model_case {
    virtual void setup() = 0; /* as thread 0 */
    virtual void body(unsigned thread) = 0;
    virtual void check() = 0; /* after all threads, as thread 0 */
    virtual ~model_case() {}
};

struct model_entry {
    const char *name;
    int threads;
    bool exits;        /* threads run their exit handlers after body */
    bool makes_domain; /* before setup */
    unsigned keys_missing;
    model_case *(*construct)(void *storage);
    model_entry *next;
};
extern model_entry *model_entries;
extern const model_entry *model_chosen;

/* The harness's world (model.hpp). */
void model_begin(void);        /* before an execution */
void model_act_as(int thread); /* code outside of the suite's threads; -1: no more */
void model_thread_exit(void);

int model_main(int argc, char **argv);

#endif /* LATCHWORK_MODEL_ENGINE_HPP */
