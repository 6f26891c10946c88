using KvStore.Core.Identity;

namespace KvStore.Core.Consensus;

/// <summary>Numbers are part of the wire format.</summary>
public enum RaftMessageKind : byte
{
    None = 0,
    PreVote = 1,
    PreVoteResponse = 2,
    Vote = 3,
    VoteResponse = 4,
    Append = 5,
    AppendResponse = 6,
    Heartbeat = 7,
    HeartbeatResponse = 8,
    Snapshot = 9,
    SnapshotResponse = 10,
    TimeoutNow = 11,
    ReadIndex = 12,
    ReadIndexResponse = 13,

    /// <summary>To the leader: the sender's log was found damaged. See <see cref="RaftNode.Quarantine"/>.</summary>
    Damaged = 14,
}

/// <summary>
/// One message between two members of a group. A plain value: no heap object per message. <see cref="Entries"/> of an outgoing message points into the sender's log and is
/// valid until the next call on the RaftNode: the transport encodes it at once, a test environment copies it.
/// </summary>
public struct RaftMessage
{
    public RaftMessageKind Kind;
    public ReplicaId From;
    public ReplicaId To;

    /// <summary>The sender's term (for a pre-vote: the term it would campaign in).</summary>
    public Term Term;

    /// <summary>Append: the entry before <see cref="Entries"/>. Vote, pre-vote: the candidate's last entry. Append response: the last matched, or the rejected one.</summary>
    public LogIndex Index;

    /// <summary>The term of the entry at <see cref="Index"/>. Rejecting append response: the term at <see cref="Hint"/>.</summary>
    public Term LogTerm;

    /// <summary>The sender's commit index; in a heartbeat or an answer to a read never above what the receiver is known to match.</summary>
    public LogIndex Commit;

    /// <summary>Damaged: the log is void, a snapshot is needed.</summary>
    public bool Reject;

    /// <summary>Rejecting append response: where the leader should look next. Append to a replica under repair: from where on its log is whole.</summary>
    public LogIndex Hint;

    /// <summary>
    /// Vote: 1 if the leader itself asked for the election. Heartbeats and their responses: the newest read round this confirms; a number that the leader never uses twice in a term. ReadIndex and its response: the asker's number of that read. Damaged, appends to a replica under repair and
    /// their responses: the number of the repair. Zero: none.
    /// </summary>
    public ulong Round;

    public ReadOnlyMemory<Entry> Entries;
}
