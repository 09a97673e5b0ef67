/* The queue of a named lock. Who waits has a ticket: it draws a number, locks the byte of that number, and is first
   while no older byte is locked. Only the first tries the lock. Whoever frees the lock or leaves the queue wakes the
   owner of the oldest ticket; who takes it for itself alone wakes nobody.

   Holds: nobody is inside who must not be; nobody sleeps on who is first and could have the lock, while nobody is
   awake. With STOP one process stops for ever in the queue, with KILL one is killed there, with LOSE a wake-up is
   lost: then sleeps end by themselves, and who finds the lock free behind a stopped one passes it. That everybody is
   served in the end is checked as the absence of a circle without progress (NP).

   PROCESSES are 3 or 4, of which those above 1 are readers; with WRITERS none is. TIMEOUT: waits may end. To look for
   the oldest ticket is one step here. */

#ifndef PROCESSES
#define PROCESSES 3
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifdef WRITERS
#define READER(p) 0
#else
#define READER(p) ((p) >= 2)
#endif
#if defined(STOP) || defined(KILL) || defined(LOSE)
#define NAPS
/* Where sleeps end by themselves a word may come around. */
#define CHANGE(w) d_step { w = (w + 1) % 2 }
#else
#define CHANGE(w) d_step { w++ }
#endif

byte clock, passed;
byte ticket[5];          /* numbers, 0 for none */
bool locked[5];          /* whether its byte is locked */
byte word[5];            /* what each sleeps on */
bool asleep[5], inside[5], halted[5];
byte writer, readers;
byte busy;               /* awake, about to look or to wake */
byte faults;             /* how many have been stopped or killed, or wake-ups lost */

#define FREE(p) (writer == 0 && (READER(p) || readers == 0))
#define IDLE (writer == 0 && readers == 0)
#define COUNTS(q) (locked[q] && ticket[q] > passed)
#define OLDER(p, q) (q != p && COUNTS(q) && ticket[q] < ticket[p])
#define FIRST(p) !(OLDER(p, 1) || OLDER(p, 2) || OLDER(p, 3) || OLDER(p, 4))
#define OLDEST(q) (COUNTS(q) && FIRST(q))
#define EMPTY !(locked[1] || locked[2] || locked[3] || locked[4])

inline take() {
    if
    :: READER(me) -> readers++
    :: else -> writer = me
    fi
}

/* Finds the owner of the oldest ticket, changes its word, wakes it: three steps. */
inline wake_oldest() {
    atomic {
        if
        :: OLDEST(1) -> next = 1
        :: OLDEST(2) -> next = 2
        :: OLDEST(3) -> next = 3
        :: OLDEST(4) -> next = 4
        :: else -> next = 0
        fi
    }
    if
    :: next != 0 ->
        CHANGE(word[next])
        atomic {
            if
            :: asleep[next] -> asleep[next] = false; busy++
            :: else
            fi
        }
#ifdef LOSE
    :: next != 0 && faults == 0 -> faults++
#endif
    :: else
    fi;
    next = 0
}

/* Stopped for ever, or killed: the kernel then frees what it has, and wakes nobody. */
#if defined(STOP)
#define FAULT if :: skip :: atomic { faults == 0 -> faults++; halted[me] = true; busy-- } false fi;
#elif defined(KILL)
#define FAULT if :: skip :: atomic { faults == 0 -> faults++; locked[me] = false; ticket[me] = 0; busy-- } goto done fi;
#else
#define FAULT
#endif

proctype Process(byte me) {
    byte seen, rounds, next;
    bool got, has_passed;
again:
    atomic {
        if
        :: EMPTY && FREE(me) -> take(); goto enter
        :: else -> busy++
        fi
    }
    skip;
    /* The number is drawn, and then its byte is locked. */
    d_step { clock++; ticket[me] = clock }
    FAULT
    skip;
    d_step { locked[me] = true }
look:
    skip;
#ifndef LOOK_FIRST
    d_step { seen = word[me] }
#endif
    /* Who was passed and lives takes that back. */
    d_step {
        if
        :: ticket[me] <= passed -> passed = ticket[me] - 1
        :: else
        fi
    }
    FAULT
    skip;
    if
    :: FIRST(me) ->
        atomic {
            if
            :: FREE(me) -> take(); got = true; goto leave
            :: else
            fi
        }
    :: else
    fi;
#ifdef LOOK_FIRST
    d_step { seen = word[me] }
#endif
    atomic {
        if
        :: word[me] == seen -> asleep[me] = true; busy--
        :: else -> goto look
        fi
    }
#ifdef STOP
    /* Stopped in its sleep. */
    if
    :: skip
    :: atomic { asleep[me] && faults == 0 -> faults++; asleep[me] = false; halted[me] = true } false
    fi;
#endif
    if
    :: !asleep[me] -> goto look
#ifdef TIMEOUT
    :: atomic { asleep[me] -> asleep[me] = false; busy++ } goto leave
    :: !asleep[me] -> goto leave  /* it was woken, too */
#endif
#ifdef NAPS
    :: atomic { asleep[me] -> asleep[me] = false; busy++ }
#ifndef NO_PASS
        /* The lock is free, and the oldest has not moved in the time that anybody needs who runs. */
        atomic {
            if
            :: IDLE && halted[1] && OLDEST(1) -> passed = ticket[1]; has_passed = true
            :: IDLE && halted[2] && OLDEST(2) -> passed = ticket[2]; has_passed = true
            :: IDLE && halted[3] && OLDEST(3) -> passed = ticket[3]; has_passed = true
            :: else
            fi
        }
        if
        :: has_passed -> has_passed = false; wake_oldest()
        :: else
        fi;
#endif
        goto look
#endif
    fi;
leave:
    skip;
    d_step { locked[me] = false; ticket[me] = 0 }
    if
    :: got && !READER(me)
#ifdef NO_PASSING_ON
    :: else
#else
    :: else -> wake_oldest()
#endif
    fi;
    busy--;
    if
    :: got -> got = false; goto enter
    :: else -> goto done
    fi;
enter:
    skip;
progress:
    assert(!(writer != 0 && readers != 0));
    assert(READER(me) || writer == me);
    atomic {
        busy++;
        if
        :: READER(me) -> readers--
        :: else -> writer = 0
        fi
    }
#ifndef NO_WAKE
    if
    :: readers > 0  /* the last to go wakes */
    :: else -> wake_oldest()
    fi;
#endif
    busy--;
    if
    :: rounds < ROUNDS -> rounds++; goto again
    :: else
    fi;
done:
    skip
}

#define STUCK(p) (asleep[p] && FIRST(p) && FREE(p) && busy == 0)
#ifndef NAPS
proctype Watch() {
end:
    atomic { STUCK(1) || STUCK(2) || STUCK(3) || STUCK(4) -> assert(false) }
}
#endif

init {
    atomic {
        run Process(1); run Process(2); run Process(3);
#if PROCESSES > 3
        run Process(4);
#endif
#ifndef NAPS
        run Watch()
#endif
    }
}
