using System.Runtime.InteropServices;
using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>
/// What a <see cref="RaftNode"/> wants done. One object, used again: it and all it points to are valid until the next call on the node. This is the ordering contract:
/// <list type="number">
/// <item><see cref="HardState"/> and <see cref="EntriesToPersist"/> go to the log together, behind those of all earlier Readys. An entry supersedes earlier ones with its index and above.</item>
/// <item><see cref="MessagesNow"/> may leave at once, before anything is durable.</item>
/// <item><see cref="MessagesAfterPersist"/> are copied by the caller and leave only when what this Ready <em>and all earlier ones</em> handed out is durable; that holds too if this
/// Ready itself has nothing to persist. One that is addressed to the replica itself (its own vote) is given to <see cref="RaftNode.Step"/> at that time. A crash drops them.</item>
/// <item>When the entries are durable, <see cref="RaftNode.OnPersisted"/> is called with the index and term of the last of them; acknowledgements come in the order of the Readys, and one may
/// stand for those before it.</item>
/// <item><see cref="Committed"/> entries are applied in order, at any time (they need not be durable here); more are handed out only after <see cref="RaftNode.OnApplied"/>. One that is a
/// configuration also goes to <see cref="RaftNode.ApplyMembership"/>, and becomes part of the view with its index.</item>
/// </list>
/// </summary>
public sealed class Ready
{
    /// <summary>Filled by the node, by changing places with the box it was collecting in.</summary>
    internal Outbox Out { get; set; } = new();

    public ReadOnlyMemory<Entry> EntriesToPersist { get; internal set; }

    /// <summary>Set when term, vote or commit changed since the last Ready.</summary>
    public HardState? HardState { get; internal set; }

    /// <summary>Whether somebody waits for the persist: entries, or a changed term or vote. A changed commit alone may ride with the next sync or be lost.</summary>
    public bool MustSync { get; internal set; }

    public ReadOnlySpan<RaftMessage> MessagesNow => Out.Now.Span;

    public ReadOnlySpan<RaftMessage> MessagesAfterPersist => Out.AfterPersist.Span;

    public ReadOnlyMemory<Entry> Committed { get; internal set; }

    public ReadOnlySpan<ReadState> ReadStates => CollectionsMarshal.AsSpan(Out.Reads);

    /// <summary>Set when leader, term or role changed since the last Ready.</summary>
    public LeadershipChange? LeadershipChanged { get; internal set; }

    /// <summary>
    /// Followers for whom the log no longer reaches back far enough. Each one is answered with <see cref="RaftNode.ReportSnapshotSent"/> or
    /// <see cref="RaftNode.ReportSnapshotFailed"/>, however long that takes; nothing else is sent to it meanwhile but heartbeats.
    /// </summary>
    public ReadOnlySpan<ReplicaId> SnapshotsWanted => CollectionsMarshal.AsSpan(Out.Snapshots);

    /// <summary>
    /// Entries that were in this replica's log, uncommitted, and have been replaced by a newer leader's. If one was acknowledged early, it belongs in the lost-writes journal, in the same
    /// batch as <see cref="EntriesToPersist"/>.
    /// </summary>
    public ReadOnlySpan<Entry> ReplacedEntries => CollectionsMarshal.AsSpan(Out.Replaced);

    internal void Clear()
    {
        Out.Clear();
        EntriesToPersist = default;
        HardState = null;
        MustSync = false;
        Committed = default;
        LeadershipChanged = null;
    }
}
