/* SPDX-License-Identifier: BSD-2-Clause */
#include <semaphore.h>

#define SEM_NAME "sem_t"
#define SEM_ID sem_posix
typedef sem_t sem_object;
#define sem_begin(s, value) sem_init(s, 0, value)
#define sem_end(s) sem_destroy(s)
#define sem_take(s) sem_wait(s)
#define sem_try(s) (sem_trywait(s) == 0)
#define sem_give(s) sem_post(s)

#include "../sem_rows.h"
