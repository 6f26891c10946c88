using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// What a replica does whose log or view was found damaged, until it is whole again. What it acknowledged may be gone, and its leader may still count on it, so it must neither vote nor
/// acknowledge until it has again all that it can ever have acknowledged:
/// <list type="number">
/// <item>It answers its leader with <see cref="RaftMessageKind.Damaged"/> and a random number. The leader forgets what it had matched, stops counting it, notes its own last index, and sends a snapshot.</item>
/// <item>With the snapshot the log is sound, but perhaps shorter than what was acknowledged. Appends of the repair carry its number, and so do their answers: an acknowledgement from before the
/// damage, however late, has another one and doesn't count.</item>
/// <item>When the log reaches the index that the leader noted, the replica is whole. A new leader begins again at 1, without another snapshot if the log is sound.</item>
/// </list>
/// Term and vote must have survived. A replica that lost those never comes back: it needs a new id.
/// </summary>
internal sealed class Quarantine(RaftState state)
{
    /// <summary>The number of the repair that is under way; zero if the replica is whole.</summary>
    public ulong Repair { get; private set; }

    public bool IsActive => Repair != 0;

    /// <summary>What the log says can't be relied on: no snapshot has replaced it yet.</summary>
    public bool LogIsVoid { get; private set; }

    public void Begin(ulong repair)
    {
        Invariant.Assert(repair != 0 && !state.IsLeader);
        Repair = repair;
        LogIsVoid = true;

        // Acknowledgements that haven't left could speak of what is gone.
        state.Out.AfterPersist.Clear();
    }

    public void OnSnapshotInstalled() => LogIsVoid = false;

    /// <summary>Whether an append belongs to the repair. If not, its sender must be told of the damage.</summary>
    public bool Accepts(in RaftMessage append) => !IsActive || (!LogIsVoid && append.Round == Repair);

    /// <summary>The log equals the leader's up to <paramref name="last"/>; <see cref="RaftMessage.Hint"/> says what the leader demands.</summary>
    public void OnMatched(LogIndex last, in RaftMessage append)
    {
        if (IsActive && last >= append.Hint)
        {
            Repair = 0;
        }
    }

    public void Tell(ReplicaId leader)
    {
        ref RaftMessage notice = ref state.SendNow(RaftMessageKind.Damaged, leader);
        notice.Round = Repair;
        notice.Reject = LogIsVoid;
    }
}
