using System.Collections.Immutable;
using System.Text;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Replica 1 of three, whose peers, disk and clock are the test.</summary>
internal sealed class ScriptedReplica : IPeerTransport
{
    private readonly List<Completion> _output = [];
    private readonly ReplicaClock _clock = new();
    private long _nowMs = 1_000;
    private ulong _lastHandle;

    public ScriptedReplica(Replication replication, MaxLag maxLag, IReadOnlyList<RecoveredRecord>? log = null, ReplicaOptions? options = null)
    {
        _clock.Set(_nowMs, (ulong)_nowMs);
        ImmutableArray<ReplicaPlace> places = [.. Enumerable.Range(1, 3).Select(id => new ReplicaPlace(new NodeId((uint)id), new ReplicaId((ulong)id)))];
        var descriptor = new ShardDescriptor(new ShardId(7, 0), new Epoch(1), new KeyspaceMode(PartitionChoice.Cp, replication), places, new NodeId(1)) { MaxLag = maxLag };
        Replica = new ShardReplica(descriptor, options ?? new ReplicaOptions(), Storage, this, new RecoveredReplica(ViewPosition.Zero, log ?? []), _clock, new Random(1), _output);
        Replica.Start();
        while (Storage.Scans.TryDequeue(out ScanRequest scan))
        {
            Replica.OnScanned(Storage.Read(scan));
        }
    }

    public ScriptedStorage Storage { get; } = new();

    public ShardReplica Replica { get; }

    public List<RaftMessage> Sent { get; } = [];

    public Dictionary<ulong, Completion> Answers { get; } = [];

    public IEnumerable<string> LostKeys => Replica.LostWrites.Read(0, int.MaxValue).Select(write => Encoding.UTF8.GetString(write.Key.Span));

    /// <summary>Lets time pass for the clock, not for Raft.</summary>
    public void Wait(int ms)
    {
        _nowMs += ms;
        _clock.Set(_nowMs, (ulong)_nowMs);
    }

    public void Turn()
    {
        Replica.Turn();
        foreach (Completion completion in _output)
        {
            Answers.Add(completion.Handle, completion);
        }

        _output.Clear();
    }

    /// <summary>Everything appended so far is durable.</summary>
    public void Sync()
    {
        Turn();
        Replica.OnDurable(Storage.Appended);
        Turn();
    }

    /// <summary>Replica 2 votes; the leader's first entry is committed unless told otherwise.</summary>
    public void Lead(bool commit = true)
    {
        Replica.Campaign();
        foreach (RaftMessageKind kind in (RaftMessageKind[])[RaftMessageKind.PreVote, RaftMessageKind.Vote])
        {
            Sync();
            RaftMessage asked = Sent.Last(message => message.Kind == kind && message.To == new ReplicaId(2));
            Receive(asked with { Kind = kind + 1, From = new ReplicaId(2), To = new ReplicaId(1) });
        }

        Sync();
        if (!Replica.IsLeader)
        {
            throw new InvalidOperationException("It was not elected.");
        }

        if (commit)
        {
            Confirm(Replica.Describe().LastIndex);
        }
    }

    /// <summary>Replica 2 has the log up to an index.</summary>
    public void Confirm(LogIndex index)
    {
        Receive(new RaftMessage { Kind = RaftMessageKind.AppendResponse, From = new ReplicaId(2), To = new ReplicaId(1), Term = Replica.Term, Index = index });
        Turn();
    }

    /// <summary>Replica 3 leads a later term and sends entries that follow <paramref name="after"/>.</summary>
    public void Append(Term term, LogIndex after, Term afterTerm, LogIndex commit, params Entry[] entries)
    {
        Receive(new RaftMessage
        {
            Kind = RaftMessageKind.Append,
            From = new ReplicaId(3),
            To = new ReplicaId(1),
            Term = term,
            Index = after,
            LogTerm = afterTerm,
            Commit = commit,
            Entries = entries,
        });
        Turn();
    }

    public ulong Put(string key, ulong sequence = 0, string value = "v", WriteCondition condition = WriteCondition.None)
    {
        Replica.Submit(new ClientOperation
        {
            Handle = ++_lastHandle,
            Kind = OperationKind.Put,
            Condition = condition,
            Key = Encoding.UTF8.GetBytes(key),
            Value = Encoding.UTF8.GetBytes(value),
            Request = sequence == 0 ? RequestId.None : new RequestId(9, sequence, 0),
            DeadlineMs = _nowMs + 60_000,
        });
        Turn();
        return _lastHandle;
    }

    public void Send(ShardId shard, NodeId to, in RaftMessage message)
    {
        RaftMessage copy = message;
        copy.Entries = message.Entries.ToArray();
        Sent.Add(copy);
    }

    public void Send(ShardId shard, NodeId to, DottedMessageKind kind, ReadOnlySpan<byte> payload)
    {
    }

    public void Send(ShardId shard, NodeId to, in SnapshotPage page)
    {
    }

    private void Receive(in RaftMessage message) => Replica.Receive(new NodeId((uint)message.From.Value), message);
}
