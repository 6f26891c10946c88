using System.Buffers;
using System.Runtime.InteropServices;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

/// <summary>
/// What a page will hold. Load these keys; when all are resident, plan again and build in the same turn (a plan is valid for the instant at which it was made).
/// </summary>
public sealed class PagePlan
{
    internal PagePlan(PullAnswer answer, ActorId asker, ulong instant, List<Key> keys, List<Dot[]> dots)
    {
        Answer = answer;
        Asker = asker;
        Instant = instant;
        Keys = keys;
        Dots = dots;
    }

    public PullAnswer Answer { get; }

    public IReadOnlyList<Key> Keys { get; }

    /// <summary>The plan for its first keys only, when not all records fit into memory at one time: the asker pulls the rest next.</summary>
    public PagePlan FirstKeys(int count)
        => count >= Keys.Count ? this : new PagePlan(PullAnswer.More, Asker, Instant, [.. Keys.Take(count)], [.. Dots.Take(count)]);

    internal IReadOnlyList<Dot[]> Dots { get; }

    internal ActorId Asker { get; }

    internal ulong Instant { get; }
}

/// <summary>
/// Healing by pulling. The answerer keeps nothing between pages: the asker's clock says it all, so any page may be lost or repeated. The cost follows the difference, never the data.
/// </summary>
public sealed class AntiEntropy
{
    private readonly ReplicaState _state;

    internal AntiEntropy(ReplicaState state) => _state = state;

    /// <summary>Whether somebody with this clock has something that this replica lacks.</summary>
    public bool ShouldPull(ShardClock theirs) => !_state.Clock.Includes(theirs);

    /// <summary>Asks with all that this replica has, durable or not.</summary>
    public void EncodePull(IBufferWriter<byte> output) => new PullMessage(_state.Self, _state.Clock).Encode(output);

    public PagePlan Plan(PullMessage pull)
    {
        _state.AssertNotMintedElsewhere(pull.Clock.HighestOf(_state.Self));
        if (_state.Recovering)
        {
            return Empty(PullAnswer.NoSource, pull.Asker);
        }

        if (!pull.Clock.Includes(_state.Unmapped))
        {
            return Empty(PullAnswer.FullCopyNeeded, pull.Asker);
        }

        List<Key> keys = [];
        List<Dot[]> dotsOfKeys = [];
        HashSet<Key> planned = [];
        List<Dot> chain = [];
        int dots = 0;
        foreach (Dot dot in _state.Clock.MissingFrom(pull.Clock))
        {
            bool mapped = _state.Index.TryGetKey(dot, out Key key);
            Invariant.Assert(mapped);
            if (!planned.Add(key))
            {
                continue;
            }

            if (dots >= _state.Options.MaxPageDots)
            {
                return new PagePlan(PullAnswer.More, pull.Asker, _state.Number, keys, dotsOfKeys);
            }

            chain.Clear();
            _state.Index.CollectDotsOf(key, chain);
            chain.RemoveAll(pull.Clock.Covers);
            chain.Sort();
            keys.Add(key);
            dotsOfKeys.Add([.. chain]);
            dots += chain.Count;
        }

        return new PagePlan(PullAnswer.Complete, pull.Asker, _state.Number, keys, dotsOfKeys);
    }

    /// <summary>Encodes the page; ends it early, and says so, when it reaches its size.</summary>
    public void Build(PagePlan plan, StoredLookup stored, IBufferWriter<byte> output)
    {
        Invariant.Assert(plan.Instant == _state.Number, "a page is built at the instant at which it was planned");
        ArrayBufferWriter<byte> body = _state.Scratch;
        body.ResetWrittenCount();
        VersionVector? letGo = _state.LetGo?.Covered;
        int built = 0;
        while (built < plan.Keys.Count && body.WrittenCount < _state.Options.MaxPageBytes)
        {
            Key key = plan.Keys[built];
            DottedObject filled = stored(key).Fill(_state.FillBase);
            if (!PullPage.Accounts(filled, plan.Dots[built]))
            {
                // Written again after it was evicted. Withheld, because it can't say what the earlier dots did; but what it knows is handed on, as if it were let go.
                letGo = letGo?.Join(filled.Context);
                filled = DottedObject.Empty;
            }

            PullPage.EncodeKey(body, key, plan.Dots[built], filled);
            built++;
        }

        PullPage.EncodeHeader(output, built < plan.Keys.Count ? PullAnswer.More : plan.Answer, plan.Asker, letGo);
        output.Write(body.WrittenSpan);
    }

    /// <summary>Whether this incarnation asked for the page. Others are dropped: what they leave out, this one may not have.</summary>
    public bool Accepts(PullPage page) => page.Asker == _state.Self;

    /// <summary>Joins an accepted page: one change for each key that brings something new, to be persisted in this order. All keys of the page must be resident.</summary>
    public List<DottedChange> Apply(PullPage page, StoredLookup stored)
    {
        Invariant.Assert(Accepts(page));
        List<DottedChange> changes = [];
        List<Dot> fresh = [];
        List<Key> handedOn = [];
        foreach (PulledKey pulled in page.Keys)
        {
            fresh.Clear();
            foreach (Dot dot in pulled.Dots)
            {
                if (!_state.Clock.Covers(dot) && !fresh.Contains(dot))
                {
                    AssertNotMine(dot);
                    fresh.Add(dot);
                }
            }

            if (pulled.IsUnknown && (_state.LetGo is null || page.LetGo is null))
            {
                // Only shards in memory have evicted anything. Counted here, the dots would have had no effect.
                continue;
            }

            if (fresh.Count > 0)
            {
                DottedObject mine = stored(pulled.Key);
                VersionVector? letGo = _state.LetGo is not null && page.LetGo is { } theirs && (pulled.IsUnknown || fresh.Exists(theirs.Covers)) ? theirs : null;
                DottedObject joined = _state.JoinReceived(pulled.Key, mine, pulled.Object, CollectionsMarshal.AsSpan(fresh), letGo);
                if (letGo is not null)
                {
                    handedOn.Add(pulled.Key);
                }

                changes.Add(_state.Commit(pulled.Key, mine, joined, CollectionsMarshal.AsSpan(fresh)));
            }
        }

        // Not before all are joined: what the answerer let go says nothing against what it still holds of other keys.
        foreach (Key key in handedOn)
        {
            _state.LetGo!.Note(key, page.LetGo!);
        }

        return changes;
    }

    private void AssertNotMine(Dot dot)
    {
        if (dot.Actor == _state.Self)
        {
            _state.AssertNotMintedElsewhere(dot.Counter);
        }
    }

    private PagePlan Empty(PullAnswer answer, ActorId asker) => new(answer, asker, _state.Number, [], []);
}
