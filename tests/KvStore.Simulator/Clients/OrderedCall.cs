using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.TestKit.Histories;

namespace KvStore.Simulator.Clients;

/// <summary>One operation of a client on an ordered shard, over all its attempts.</summary>
internal sealed class OrderedCall(int key, OperationKind kind, WriteCondition condition)
{
    public int Key { get; } = key;

    public OperationKind Kind { get; } = kind;

    public WriteCondition Condition { get; } = condition;

    public string? Input { get; init; }

    /// <summary>The value that the version of a conditional write stands for.</summary>
    public string? Expected { get; init; }

    public LogIndex Version { get; init; }

    public int Padding { get; set; }

    /// <summary>Takes the first definite refusal for the answer, unless it names another node: as callers without a retry do.</summary>
    public bool IsImpatient { get; set; }

    public RequestId Request { get; set; }

    public OperationInProgress? Recorded { get; set; }

    public long InvokedUs { get; set; }

    public int Attempts { get; set; }

    /// <summary>Counts attempts and the pauses between them: what belongs to an earlier turn comes too late.</summary>
    public int Turn { get; set; }

    /// <summary>Some attempt was not answered, or its answer was "unknown".</summary>
    public bool MayHaveHappened { get; set; }

    public override string ToString() => $"{Kind} {Condition} k{Key} {Input} as {Request}, attempt {Attempts}";
}
