/* The queue of a named lock: readers and writers wait for the turnstile, and who has it for the lock.

   Holds: nobody is inside who must not be; nobody sleeps on while what it waits for is free and no wake-up is
   on its way. With STOP, one process stops for ever at any step: whoever has waited in vain for a nap takes a
   lock that nobody holds. With KILL, processes end at any step, and the kernel frees what they have: then
   only exclusion is demanded, because a nap bounds what a killed waiter swallowed.

   PROCESSES are 3 or 4, of which those above 1 are readers. TIMEOUT: waits may end. */

#ifndef PROCESSES
#define PROCESSES 3
#endif
#define READER(p) ((p) >= 2)
#define FREE(p) (writer == 0 && (READER(p) || readers == 0))
#define IDLE (writer == 0 && readers == 0)

byte word;              /* counts wake-ups */
byte turnstile, writer; /* whose they are, 0 for nobody's */
byte readers;
bool queued[6], first[6];  /* asleep, waiting for the turnstile or the lock */
byte waking;            /* wake-ups on their way */
byte looking, trying;   /* awake, about to look at the turnstile, at the lock */
byte halted;
bool dead[6];

inline wake_queued() {
    skip;
    d_step { word++ }
    atomic {
        if
        :: queued[1] -> queued[1] = false; looking++
        :: queued[2] -> queued[2] = false; looking++
        :: queued[3] -> queued[3] = false; looking++
        :: queued[4] -> queued[4] = false; looking++
        :: else
        fi;
        waking--
    }
}

inline wake_first() {
    skip;
    d_step { word++ }
    atomic {
        if
        :: first[1] -> first[1] = false; trying++
        :: first[2] -> first[2] = false; trying++
        :: first[3] -> first[3] = false; trying++
        :: first[4] -> first[4] = false; trying++
        :: else
        fi;
        waking--
    }
}

inline take() {
    if
    :: READER(me) -> readers++
    :: else -> writer = me
    fi
}

#ifdef STOP
#define MAY_STOP if :: skip :: atomic { halted == 0 -> halted = me } halted == 0 fi;
#else
#define MAY_STOP
#endif

proctype Process(byte me) {
    byte seen, rounds = 0;
again:
    atomic {
        if
        :: turnstile == 0 && FREE(me) -> take(); goto inside
        :: else
        fi
    }
    atomic { looking++ }
look:
    skip;
    /* announce, look, sleep */
#ifndef LOOK_FIRST
    d_step { seen = word }
#endif
    atomic {
        if
        :: turnstile == 0 -> turnstile = me; looking--; trying++; goto try
        :: else
        fi
    }
#ifdef LOOK_FIRST
    d_step { seen = word }
#endif
    atomic {
        if
        :: word == seen -> queued[me] = true; looking--
        :: else -> goto look
        fi
    }
    if
    :: !queued[me] && !dead[me] -> goto look
#ifdef TIMEOUT
    :: atomic { queued[me] -> queued[me] = false; waking++ } goto leave
    :: atomic { !queued[me] -> looking--; waking++ } goto leave  /* it was woken, too */
#endif
#if defined(STOP) || defined(KILL)
    /* The nap is over: nobody woke it. */
    :: atomic { queued[me] -> queued[me] = false; looking++ }
        atomic {
            if
#ifndef NO_LATE
            :: turnstile != 0 && IDLE -> take(); looking--; waking++; goto overtaken
#endif
            :: else -> assert(!(turnstile != 0 && turnstile == halted && IDLE))
            fi
        }
        goto look
#endif
    fi;
try:
    skip;
    MAY_STOP
    d_step { seen = word }
    atomic {
        if
        :: FREE(me) -> take(); trying--; waking++; goto taken
        :: else
        fi
    }
    atomic {
        if
        :: word == seen -> first[me] = true; trying--
        :: else -> goto try
        fi
    }
    if
    :: !first[me] && !dead[me] -> goto try
#ifdef TIMEOUT
    :: atomic { first[me] -> first[me] = false; waking++; turnstile = 0 } goto leave
#endif
#if defined(STOP) || defined(KILL)
    :: atomic { first[me] -> first[me] = false; trying++ } goto try
#endif
    fi;
taken:
    atomic { turnstile = 0 }
overtaken:
#ifdef NO_TURN
    atomic { waking-- }
#else
    wake_queued();
#endif
inside:
    assert(writer == 0 || (writer == me && readers == 0) || READER(me) == false);
    assert(!(writer != 0 && readers != 0));
    MAY_STOP
    atomic {
        if
        :: READER(me) -> readers--
        :: else -> assert(writer == me); writer = 0
        fi;
        waking++
    }
    wake_first();
    if
    :: rounds < 1 -> rounds++; goto again
    :: else -> goto done
    fi;
leave:
#ifdef NO_PASSING_ON
    atomic { waking-- }
#else
    wake_queued();
#endif
done:
    skip
}

#ifdef KILL
/* Ends processes that sleep; the kernel frees what they have, and wakes nobody. */
proctype Killer() {
    byte left = KILL;
    do
    :: left > 0 -> left--;
        atomic {
            if
            :: first[1] -> first[1] = false; dead[1] = true; turnstile = 0
            :: queued[1] -> queued[1] = false; dead[1] = true
            :: first[2] -> first[2] = false; dead[2] = true; turnstile = 0
            :: queued[2] -> queued[2] = false; dead[2] = true
            :: first[3] -> first[3] = false; dead[3] = true; turnstile = 0
            :: queued[3] -> queued[3] = false; dead[3] = true
            :: else
            fi
        }
    :: break
    od
}
#endif

#define STUCK(p) (queued[p] && turnstile == 0 && waking == 0 && looking == 0 || first[p] && FREE(p) && waking == 0 && trying == 0)
#if !defined(STOP) && !defined(KILL)
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
#if defined(KILL)
        run Killer()
#elif !defined(STOP)
        run Watch()
#endif
    }
}
