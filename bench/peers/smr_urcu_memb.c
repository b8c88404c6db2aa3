/* SPDX-License-Identifier: BSD-2-Clause */
#define _LGPL_SOURCE /* the read side inlined: liburcu at its best */
#define URCU_API_MAP
#include <urcu/urcu-memb.h>

#define SMR_NAME "urcu-memb"
#define SMR_ID smr_urcu_memb
typedef char smr_local;
#define smr_join(t) ((void)(t), rcu_register_thread())
#define smr_leave(t) ((void)(t), rcu_unregister_thread())
#define smr_enter(t) ((void)(t), _rcu_read_lock())
#define smr_exit(t) ((void)(t), _rcu_read_unlock())
#define smr_resume(t) ((void)(t))
#define smr_pause(t) ((void)(t))

#include "smr_urcu.h"
