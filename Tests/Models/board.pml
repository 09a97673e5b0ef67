/* Who waits for a key, and who wakes it: the order of steps in Sources/FlockCache/Waiting.
 *
 *   changes    how many claims of the key have ended, as the files say
 *   announced  whether the time until which somebody waits is to come: renewed by waiters, ended by Time
 *   word       the futex word; asleep: who sleeps in the kernel, which compares the word and queues in one step
 *
 * A waiter renews the time, reads the word, looks at the files, and sleeps while the word is the same. A
 * waker changes the files, reads the time, and, if somebody waits, changes the word and wakes all. Memory and
 * calls keep the order that is written here: the accesses are sequentially consistent, with a fence before
 * the waker's load.
 *
 * Two wakers end two claims of the key, one after the other; a waiter waits for both, so that the first
 * sends it to sleep again. No sleep ends by itself, so that a lost wake-up is a sleeper that never wakes: an
 * invalid end state. In truth every sleep does, before the time that was announced: that is why the time
 * does not end while somebody waits.
 *
 * Each -D below takes one precaution away, and then the model must fail:
 *   LOOK_FIRST       the waiter looks at the files before it renews the time
 *   WORD_LAST        the waiter reads the word after it has looked
 *   NO_WORD          the waker wakes without changing the word
 *   WAKE_FIRST       the waker wakes before it changes the files
 *   SHORT            the time that is announced is over before the sleep is
 */
#ifndef WAITERS
#define WAITERS 2
#endif

bool announced = false;
byte word = 0;
byte changes = 0;        /* how many claims have ended */
bool asleep[WAITERS];
byte running = WAITERS;  /* waiters that have not got what they wait for */

inline wake_all() {
    d_step {
        other = 0;
        do
        :: other < WAITERS -> asleep[other] = false; other++
        :: else -> break
        od;
        other = 0
    }
}

/* Waits until both claims have ended: the first change wakes it and sends it to sleep again. */
proctype Waiter(byte me) {
    byte seen, found;
    do
    ::
#ifdef LOOK_FIRST
        found = changes;
        announced = true;
        seen = word;
#else
        announced = true;
#ifdef WORD_LAST
        found = changes;
        seen = word;
#else
        seen = word;
        found = changes;
#endif
#endif
        if
        :: found == 2 -> break
        :: else
        fi;
        /* The kernel compares and queues in one step. */
        atomic {
            if
            :: word == seen -> asleep[me] = true
            :: else
            fi
        }
        !asleep[me]
    od;
    running--
}

proctype Waker(byte turn) {
    byte other = 0;
    bool isWaitedFor;
    changes == turn;
#ifdef WAKE_FIRST
    isWaitedFor = announced;
    if
    :: isWaitedFor -> word++; wake_all()
    :: else
    fi;
    changes++
#else
    changes++;
    isWaitedFor = announced;
    if
    :: isWaitedFor ->
#ifndef NO_WORD
        word++;
#endif
        wake_all()
    :: else
    fi
#endif
}

#ifdef SHORT
active proctype Time() {
    do
    :: atomic { announced -> announced = false }
    :: atomic { running == 0 -> break }
    od
}
#endif

init {
    byte i = 0;
    atomic {
        do
        :: i < WAITERS -> run Waiter(i); i++
        :: else -> break
        od;
        run Waker(0);
        run Waker(1)
    }
}
