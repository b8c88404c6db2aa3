/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything that does not need Python. */
#ifndef LATCHWORK_LATCHWORK_H
#define LATCHWORK_LATCHWORK_H

#include <latchwork/atomic.h>
#include <latchwork/barrier.h>
#include <latchwork/biased_mutex.h>
#include <latchwork/cond.h>
#include <latchwork/config.h>
#include <latchwork/critical.h>
#include <latchwork/domain.h>
#include <latchwork/event.h>
#include <latchwork/latch.h>
#include <latchwork/map.h>
#include <latchwork/mutex.h>
#include <latchwork/once.h>
#include <latchwork/park.h>
#include <latchwork/ref.h>
#include <latchwork/rmutex.h>
#include <latchwork/rwlock.h>
#include <latchwork/sem.h>
#include <latchwork/seqlock.h>
#include <latchwork/shared_rwlock.h>
#include <latchwork/smr.h>
#include <latchwork/status.h>
#include <latchwork/thread.h>

#endif /* LATCHWORK_LATCHWORK_H */
