/* One lease: what Sources/FlockCache/Leases does, a step for each thing that others can see.
 *
 *   now               the boot clock, which a suspend moves on by JUMP
 *   granted, deadline what the record says: its generation (0: there is no record), and until when
 *   highest, floor    the highest generation in the shard's block, and beside the records that were reaped
 *   mutex             who has the shard mutex; the kernel drops it when its process dies
 *
 * Keepers acquire, renew while they hold, and release; one may die. Another reaps, and loses the block.
 * Time passes between any two steps, but a keeper that sleeps wakes after SLEEP ticks of the clock that stands still
 * in a suspend. Asserted: a keeper that has looked at the clock and takes itself for the holder is it; two work under
 * the lease for no more than SLEEP ticks; a lease that was over is not renewed as if it had not been; generations
 * only rise.
 *
 * With REAPER one of the others reaps; the times are then shorter. Each other -D below takes one precaution away, and then the model must fail:
 *   NO_MUTEX NO_GENERATION CLOCK_AFTER LONG_SLEEP RENEW_FIRST NO_HIGHEST NO_FLOOR FLOOR_LAST
 */
#define KEEPERS 2
#define TTL 2
#define JUMP 3
#ifdef REAPER
#define END 5
#define GRANTS 3
#else
#define END 7
#define GRANTS 3
#endif
#ifdef LONG_SLEEP
#define SLEEP TTL
#else
#define SLEEP 1
#endif
#define BOUND 1

byte now = 1, granted = 0, deadline = 0, highest = 0, floor = 0, mutex = 0, last = 0, grants = 0;
bool released = false, suspended = false, reaped = false, died = false;
byte mine[4], until[4], slept[4];   /* what a keeper believes, and for how long it has not looked */
bool over[4];                       /* its lease was over, by the record, while it worked */
byte both = 0;                      /* ticks in which two worked */

#define FREE (granted == 0 || released || now >= deadline)
#define WORKS(k) (mine[k] != 0)
#ifdef NO_MUTEX
#define LOCK skip
#define UNLOCK skip
#else
#define LOCK atomic { mutex == 0 -> mutex = me }
#define UNLOCK atomic { if :: mutex == me -> mutex = 0 :: else fi }
#endif
#define DIE if :: d_step { !died -> died = true; mine[me] = 0; until[me] = 0; over[me] = false; slept[me] = 0; if :: mutex == me -> mutex = 0 :: else fi }; goto dead \
    :: skip fi

inline see_ends() {
    k = 1;
    do
    :: k <= KEEPERS ->
        if :: WORKS(k) && (mine[k] != granted || released || now >= deadline) -> over[k] = true :: else fi; k++
    :: else -> break
    od; k = 0
}

proctype Clock() {
    byte k = 0;
    do
    :: d_step { now < END && (!WORKS(1) || slept[1] < SLEEP) && (!WORKS(2) || slept[2] < SLEEP) ->
        now++;
        if :: WORKS(1) -> slept[1]++ :: else fi; if :: WORKS(2) -> slept[2]++ :: else fi;
        /* Only where both work under it: one that has died or was told does not. */
        if :: WORKS(1) && WORKS(2) -> both++; assert(both <= BOUND) :: else both = 0 fi;
        see_ends() }
    :: d_step { !suspended && now + JUMP <= END -> suspended = true; now = now + JUMP; see_ends() }
    :: now >= END -> break
    od
}

proctype Keeper(byte me) {
    byte start, g;
again:
    start = 0; g = 0;
    if :: now >= END || grants >= GRANTS -> goto dead :: else fi;
    start = now;                                    /* before the time that others go by */
    LOCK;
    if :: !FREE -> UNLOCK; goto again :: else fi;
#ifdef NO_HIGHEST
    g = granted + 1;
#else
    g = (highest > granted -> highest : granted) + 1;
    highest = g;                                    /* begin */
#endif
    DIE;
    d_step { assert(g > last); last = g; granted = g; released = false; deadline = now + TTL; grants++;
        slept[me] = 0 }
    UNLOCK;
#ifdef CLOCK_AFTER
    start = now;
#endif
    if :: d_step { now < start + TTL -> mine[me] = g; until[me] = start + TTL;
            over[me] = (granted != g || now >= deadline); slept[me] = 0 }
       :: else -> goto again                        /* over before anything could begin */
    fi;
    do
    :: DIE;
        if                                          /* look */
#ifdef RENEW_FIRST
        :: d_step { true -> slept[me] = 0; start = now }
#else
        :: d_step { now >= until[me] -> mine[me] = 0; until[me] = 0; over[me] = false; slept[me] = 0 }; goto again
        :: d_step { now < until[me] -> slept[me] = 0; start = now;
            assert(granted == mine[me] && !released || reaped) }
#endif
        fi;
        if
        :: skip                                     /* renew */
            LOCK;
            DIE;
            if
#ifdef NO_GENERATION
            :: granted != 0 ->
#elif defined(RENEW_FIRST)
            :: d_step { granted == mine[me] && !released -> assert(!over[me]) }
#else
            :: d_step { granted == mine[me] && !released && now < deadline ->
                assert(!over[me]) }
#endif
                d_step { assert(granted == mine[me]); deadline = now + TTL; over[me] = false };
                UNLOCK;
                until[me] = start + TTL
            :: else -> UNLOCK; d_step { mine[me] = 0; until[me] = 0; over[me] = false; slept[me] = 0 }; goto again
            fi
        :: skip                                     /* release */
            LOCK;
            if :: d_step { granted == mine[me] -> released = true } :: else fi;
            d_step { mine[me] = 0; until[me] = 0; over[me] = false; slept[me] = 0 };
            UNLOCK;
            goto again
        :: skip                                     /* sleep on, as where the shard is busy */
        fi;
        start = 0
    od;
dead: skip
}

/* Reaps the record, and loses the block, which is then made up for from what is there. */
proctype Other(byte me) {
    LOCK;
    if :: granted != 0 && (released || now >= deadline + TTL) ->
#ifdef FLOOR_LAST
        reaped = true; granted = 0; released = false;
        if :: d_step { skip; if :: mutex == me -> mutex = 0 :: else fi }; goto killed :: skip fi;
        floor = highest
#else
#ifndef NO_FLOOR
        floor = highest;
#endif
        d_step { reaped = true; granted = 0; released = false }
#endif
       :: else
    fi;
    UNLOCK;
killed:
    LOCK;
    d_step { highest = (floor > granted -> floor : granted) };
    UNLOCK
}

init { atomic { run Clock(); run Keeper(1); run Keeper(2);
#ifdef REAPER
    run Other(3)
#endif
} }
