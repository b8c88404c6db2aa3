/* SPDX-License-Identifier: BSD-2-Clause */
#define _LGPL_SOURCE /* the read side inlined: liburcu at its best */
#define URCU_API_MAP
#include <urcu/urcu-bp.h>

#define SMR_NAME "urcu-bp"
#define SMR_ID smr_urcu_bp
typedef char smr_local;
/* The first section registers. */
#define smr_join(t) ((void)(t), _rcu_read_lock(), _rcu_read_unlock())
#define smr_leave(t) ((void)(t))
#define smr_enter(t) ((void)(t), _rcu_read_lock())
#define smr_exit(t) ((void)(t), _rcu_read_unlock())
#define smr_resume(t) ((void)(t))
#define smr_pause(t) ((void)(t))

#include "smr_urcu.h"
