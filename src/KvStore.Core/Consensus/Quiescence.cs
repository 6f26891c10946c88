using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// Lets a group fall silent that has nothing to do: nobody ticks it, and it sends a message every few seconds instead of every few milliseconds. So hundreds of idle groups cost what one costs.
/// </summary>
/// <remarks>
/// <para>
/// The handshake. When the leader has seen nothing happen for <see cref="RaftOptions.QuiesceAfterTicks"/>, and every member's log is known to equal its own, all of it committed and applied, its heartbeats
/// become offers: they name the last entry. A member that stands at exactly that entry, has applied it, and hears the leader's node, agrees in its answer and stops its election timer. When all members have
/// agreed to the same offer, learners included, the leader is quiet too. One that refuses or can't be reached keeps the group awake.
/// </para>
/// <para>
/// What is suppressed is elections, nothing else. A quiet leader has no quorum contact, and no answer that was under way when it woke gives it any: it acknowledges nothing early until a round that it began
/// after waking was confirmed, and reads need their round as always.
/// </para>
/// <para>
/// Waking is always safe, needs nobody's consent, and any doubt is reason enough: for the leader whatever is submitted, any message but an agreement, and any news about the node of a member; for a follower any message but
/// an offer, and the leader's node being down, restarted or unreachable. A follower that wakes by itself tells the leader, which then shows itself at once; so a group never stays half asleep while messages arrive.
/// Should they not arrive: the offer is repeated every <see cref="RaftOptions.QuietRenewTicks"/>, and a follower that misses it for <see cref="RaftOptions.QuietLimitTicks"/> wakes, whatever the node's liveness says:
/// a node can live and its replica be fenced, or have lost its leadership while the link for messages was broken.
/// </para>
/// <para>CockroachDB and TiKV quiesce (hibernate) groups in the same way; the offer with exact log positions and the withdrawal are CockroachDB's.</para>
/// </remarks>
internal sealed class Quiescence(RaftState state, Leadership leadership)
{
    /// <summary>Offers that may go unanswered one after another before a quiet leader wakes: one may be lost.</summary>
    private const int MissedOffers = 2;

    private readonly HashSet<ReplicaId> _agreed = [];
    private int _idleTicks;
    private int _quietTicks;
    private int _missed;
    private ulong _wokeAt;

    /// <summary>The host's consent: it waits for nothing here, and its failure detector knows the nodes concerned as up. Set before each tick and message.</summary>
    public bool Permitted { get; set; }

    /// <summary>The newest offer that all members have agreed to: a round of this leader's own term, so a contact with everybody.</summary>
    public ulong AgreedOffer { get; private set; }

    /// <summary>Awake: one tick has passed. Begins to offer when the group has been idle long enough.</summary>
    public void Tick()
    {
        if (!state.IsLeader || state.Options.QuiesceAfterTicks == 0)
        {
            return;
        }

        if (!CanRest)
        {
            Withdraw();
        }
        else if (leadership.Offer == 0 && ++_idleTicks >= state.Options.QuiesceAfterTicks)
        {
            BeginOffer();
            RestIfAllAgree();
        }
    }

    /// <summary>Quiet: so many ticks have passed.</summary>
    public void TickQuiet(int ticks)
    {
        _quietTicks += ticks;
        if (!state.IsLeader)
        {
            if (_quietTicks >= state.Options.QuietLimitTicks)
            {
                Wake();
            }
        }
        else if (!CanRest)
        {
            Wake();
        }
        else if (_quietTicks >= state.Options.QuietRenewTicks)
        {
            Renew();
        }
    }

    /// <summary>Something was asked of the group here, or is about to be.</summary>
    public void Stir()
    {
        Wake();
        Withdraw();
    }

    /// <summary>Leader: whatever changed the log has ended the silence, even if it didn't say so.</summary>
    public void BeforeReady()
    {
        if (state.IsQuiet && !leadership.IsSettled)
        {
            Wake();
        }
    }

    /// <summary>Any doubt. A leader shows itself at once; a follower waits for a sign of life as if it had heard one just now, and asks for it.</summary>
    public void Wake()
    {
        if (!state.IsQuiet)
        {
            return;
        }

        state.IsQuiet = false;
        _wokeAt = state.Now;
        if (state.IsLeader)
        {
            Withdraw();
            leadership.OnWoken();
        }
        else
        {
            state.RestartElectionTimer();
            state.SendNow(RaftMessageKind.HeartbeatResponse, state.Leader).Reject = true;
        }
    }

    /// <summary>
    /// The leader's node can't be reached: the detector has waited long enough, so the lease is over, and the election begins within what the timeouts are apart. Only for a follower that is quiet, or has heard nothing
    /// of the leader since it woke: in an awake group the group's own messages decide.
    /// </summary>
    public void OnLeaderUnreachable()
    {
        Wake();
        bool unheard = _wokeAt != 0 && state.Now - _wokeAt == (ulong)state.ElectionElapsed;
        if (state.Role == RaftRole.Follower && !state.Leader.IsNone && unheard)
        {
            state.EndLeaderLease();
        }
    }

    /// <summary>Before a message is looked at: all wake but the two of the handshake.</summary>
    public void OnMessage(in RaftMessage message)
    {
        if (!state.IsQuiet)
        {
            return;
        }

        bool sameTerm = message.Term == state.Term;
        bool isOffer = !state.IsLeader && message.Kind == RaftMessageKind.Heartbeat && message.Index > LogIndex.Zero;
        bool isAgreement = state.IsLeader && message.Kind == RaftMessageKind.HeartbeatResponse && message.Index > LogIndex.Zero;
        if (sameTerm && (isOffer || isAgreement))
        {
            return;
        }

        bool leaderIsAwake = sameTerm && message.From == state.Leader;
        if (leaderIsAwake)
        {
            // What follows is answered, and the answer tells the leader, should it be quiet after all, that this replica is not.
            state.IsQuiet = false;
            _wokeAt = 0;
            return;
        }

        Wake();
    }

    /// <summary>Follower: whether it agrees to the offer in a heartbeat of its leader.</summary>
    public bool Agrees(in RaftMessage heartbeat)
    {
        LogIndex last = state.Log.LastIndex;
        bool agrees = Permitted
            && !state.Quarantine.IsActive
            && state.Forwarded.IsEmpty
            && heartbeat.Index == last
            && heartbeat.LogTerm == state.Log.LastTerm
            && state.Installing is null
            && state.Commit == last
            && state.Applied == last
            && state.Persist.Stable == last;
        state.IsQuiet = agrees;
        _quietTicks = 0;
        return agrees;
    }

    /// <summary>Leader: a member has answered a heartbeat of this term.</summary>
    public void OnAnswer(in RaftMessage answer)
    {
        if (answer.Index == LogIndex.Zero || answer.Reject)
        {
            _agreed.Remove(answer.From);
            return;
        }

        // An agreement to an earlier offer says nothing: the member may have been woken since.
        bool current = leadership.Offer != 0 && answer.Round == leadership.Offer && answer.Index == state.Log.LastIndex;
        if (current && leadership.IsMember(answer.From) && _agreed.Add(answer.From))
        {
            RestIfAllAgree();
        }
    }

    private bool CanRest => Permitted && leadership.IsSettled;

    private bool AllAgree => _agreed.Count == leadership.OtherMembers;

    private void BeginOffer()
    {
        _agreed.Clear();
        leadership.BeginOffer();
    }

    private void Withdraw()
    {
        _idleTicks = 0;
        leadership.Offer = 0;
        _agreed.Clear();
    }

    private void RestIfAllAgree()
    {
        if (!AllAgree || !CanRest)
        {
            return;
        }

        AgreedOffer = leadership.Offer;
        if (!state.IsQuiet)
        {
            state.IsQuiet = true;
            _quietTicks = 0;
            _missed = 0;
        }
    }

    private void Renew()
    {
        _quietTicks = 0;
        _missed = AllAgree ? 0 : _missed + 1;
        if (_missed >= MissedOffers)
        {
            Wake();
            return;
        }

        BeginOffer();
    }
}
