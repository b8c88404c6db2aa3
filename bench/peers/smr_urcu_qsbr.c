/* SPDX-License-Identifier: BSD-2-Clause */
/* Sections cost nothing here, and every thread has to say when it holds nothing: it does so after
 * every 64th section, and goes offline where it waits. */
#define _LGPL_SOURCE /* the read side inlined: liburcu at its best */
#define URCU_API_MAP
#include <urcu/urcu-qsbr.h>

#define SMR_NAME "urcu-qsbr"
#define SMR_ID smr_urcu_qsbr

typedef struct smr_local {
    unsigned sections;
} smr_local;

#define smr_join(t) ((void)(t), rcu_register_thread(), rcu_thread_offline())
#define smr_leave(t) ((void)(t), rcu_unregister_thread())
#define smr_enter(t) ((void)(t), _rcu_read_lock())
#define smr_exit(t)                                                                                \
    do {                                                                                           \
        _rcu_read_unlock();                                                                        \
        if (++(t)->sections % 64 == 0)                                                             \
            _rcu_quiescent_state();                                                                \
    } while (0)
#define smr_resume(t) ((void)(t), _urcu_qsbr_thread_online())
#define smr_pause(t) ((void)(t), _urcu_qsbr_thread_offline())

#include "smr_urcu.h"
