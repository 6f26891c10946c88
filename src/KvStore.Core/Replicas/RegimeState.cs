using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas.Overlays;
using KvStore.Core.Versioning;

namespace KvStore.Core.Replicas;

/// <summary>
/// The regime that is in force at this replica, and what its data accounts for. Kept in the view's Meta space, in the unit of the applied index.
/// </summary>
internal sealed class RegimeState(ShardDescriptor descriptor, IReplicaStorage storage)
{
    /// <summary>Where this replica's data stood in the log when the open period began for it: at the entry that began it, or before, if it skipped part of the log. Its own, not replicated.</summary>
    private static ReadOnlySpan<byte> LogBaseKey => "log-base"u8;

    public ShardRegime Current { get; private set; } = ShardRegime.Founding(descriptor);

    public bool IsOrdered => Current.Kind == RegimeKind.Ordered;

    public Epoch Epoch => Current.Epoch;

    public Replication Replication => Current.Mode.Replication;

    /// <summary>What open episodes have left in the state of the log.</summary>
    public AccountedDots Accounted { get; } = new();

    public LogIndex LogBase { get; private set; }

    /// <summary>What answers say of the regime.</summary>
    public Regime Shown => IsOrdered ? Regime.Ordered : Regime.Open;

    /// <summary>The regime as the policy sees it.</summary>
    public ServingRegime Serving => Current.Kind switch
    {
        RegimeKind.Ordered => ServingRegime.Ordered,
        RegimeKind.Open => ServingRegime.Open,
        _ => ServingRegime.Closing,
    };

    /// <summary>All that this replica's data held when the open period began for it.</summary>
    public ShardClock ClockAtOpening()
    {
        ShardClock clock = Accounted.Clock.Clone();
        clock.AdvanceBase(ActorId.Log, LogBase.Value);
        return clock;
    }

    /// <summary>A committed entry changes the regime, unless it was proposed in view of another one. Returns the regime before, or null if nothing has changed.</summary>
    public ShardRegime? Apply(RegimeEntry entry, LogIndex index)
    {
        ShardRegime before = Current;
        if (before.After(entry, index) is not { } next)
        {
            return null;
        }

        Enter(next);
        if (entry.Step == RegimeStep.Open)
        {
            NoteLogBase(index);
        }

        if (entry.Step == RegimeStep.Order)
        {
            Accounted.Replace(entry.Baseline!.Clock.Without(ActorId.Log), entry.Baseline.Beyond);
        }

        return before;
    }

    /// <summary>The log up to a snapshot of an open shard is skipped. What this replica holds of the log ends where it stands now.</summary>
    public void Skip(ShardRegime regime, LogIndex applied)
    {
        Invariant.Assert(!regime.IsOrdered && regime.Epoch >= Epoch, "epochs never run backwards");
        if (IsOrdered)
        {
            NoteLogBase(applied);
        }

        Enter(regime);
    }

    /// <summary>Before the Meta space of another view is read. One that names no regime is still in the founding one, and then so was this replica.</summary>
    public void Clear() => LogBase = LogIndex.Zero;

    /// <summary>Takes a Meta record of the view back, if it is one of these.</summary>
    public void Restore(ReadOnlySpan<byte> key, ReadOnlyMemory<byte> record)
    {
        if (key.SequenceEqual(ShardRegime.MetaKey))
        {
            Current = ShardRegime.Decode(record);
        }
        else if (key.SequenceEqual(LogBaseKey))
        {
            LogBase = new LogIndex(new BinaryCursor(record).ReadVarInt());
        }
    }

    /// <summary>The log base is of no use in the ordered regime, and would be in snapshots.</summary>
    public void ForgetLogBase()
    {
        LogBase = LogIndex.Zero;
        storage.Remove(RecordSpace.Meta, LogBaseKey);
    }

    private void Enter(ShardRegime regime)
    {
        Current = regime;
        storage.Put(RecordSpace.Meta, ShardRegime.MetaKey, regime.Encode());
    }

    private void NoteLogBase(LogIndex index)
    {
        LogBase = index;
        var output = new ArrayBufferWriter<byte>(10);
        VarInt.Write(output, index.Value);
        storage.Put(RecordSpace.Meta, LogBaseKey, output.WrittenSpan.ToArray());
    }
}
