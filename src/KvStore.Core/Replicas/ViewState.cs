using KvStore.Core.Identity;

namespace KvStore.Core.Replicas;

/// <summary>
/// Where the replica's view stands, and when it is sealed: the one place that knows the position, so that data, dedup table and clock are always sealed together.
/// </summary>
internal sealed class ViewState(ReplicaOptions options, IReplicaStorage storage)
{
    private readonly List<Action> _beforeSeal = [];
    private int _ticksUnsealed;
    private ViewPosition _sealed;
    private ViewPosition _released;

    public LogIndex Applied { get; private set; }

    public Term AppliedTerm { get; private set; }

    /// <summary>The number of the last dotted record.</summary>
    public ulong Dotted { get; private set; }

    /// <summary>Where the terms of the applied entries begin.</summary>
    public AppliedTerms Terms { get; } = new();

    public ViewPosition Position => new(Applied, AppliedTerm, Dotted);

    /// <summary>While a snapshot is switched in, the view belongs to storage.</summary>
    public bool IsReplacing { get; set; }

    /// <summary>Nothing has happened since the last seal.</summary>
    public bool IsSealed => Position == _sealed && storage.UnsealedBytes == 0;

    /// <summary>Registers what must be put into the view before each seal.</summary>
    public void BeforeSeal(Action write) => _beforeSeal.Add(write);

    public void AdvanceApplied(LogIndex index, Term term)
    {
        Invariant.Assert(index == Applied.Next, "entries are applied one by one, in order");
        Applied = index;
        AppliedTerm = term;
        Terms.Advance(index, term);
    }

    public void AdvanceDotted(ulong number)
    {
        Invariant.Assert(number > Dotted, "dotted records are numbered upwards");
        Dotted = number;
    }

    /// <summary>The entries up to the index need not be applied: none of them says anything about the view of an open shard.</summary>
    public void SkipTo(LogIndex index, Term term)
    {
        Invariant.Assert(index > Applied, "a snapshot is newer than what was applied");
        Applied = index;
        AppliedTerm = term;
        Terms.Restart(index, term);
    }

    /// <summary>After a restart or an installed snapshot, before the Meta space is read back.</summary>
    public void Reset(in ViewPosition position)
    {
        Terms.Restart(position.Applied, position.AppliedTerm);
        Applied = position.Applied;
        AppliedTerm = position.AppliedTerm;
        Dotted = position.Dotted;
        _sealed = position;
    }

    /// <summary>Closes the current unit if anything happened since the last.</summary>
    public void Seal()
    {
        if (IsReplacing || (storage.UnsealedBytes == 0 && Position == _sealed))
        {
            return;
        }

        foreach (Action write in _beforeSeal)
        {
            write();
        }

        Terms.WriteChanges(storage);
        _sealed = Position;
        _ticksUnsealed = 0;
        storage.Seal(_sealed);
    }

    public void SealIfFull()
    {
        if (storage.UnsealedBytes >= options.SealBytes)
        {
            Seal();
        }
    }

    public void OnTick()
    {
        // The journal of lost writes changes without moving the position.
        if ((Position != _sealed || storage.UnsealedBytes > 0) && ++_ticksUnsealed >= options.SealTicks)
        {
            Seal();
        }
    }

    /// <summary>What the view holds durably, the log need not keep.</summary>
    public void ReleaseLog()
    {
        ViewPosition durable = storage.DurablePosition;
        if (durable != _released)
        {
            _released = durable;
            storage.ReleaseLog(durable.Applied, durable.Dotted);
        }
    }
}
