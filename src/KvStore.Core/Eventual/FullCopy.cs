using System.Buffers;
using KvStore.Core.Identity;
using KvStore.Core.Versioning;

namespace KvStore.Core.Eventual;

public enum CopyOffer : byte
{
    /// <summary>Scan the own keys of the page's range, load them and the page's, then join.</summary>
    Accepted = 1,

    /// <summary>A repeated or late page: nothing to do.</summary>
    Ignored = 2,

    /// <summary>The source no longer knows what it knew when the copy began: begin anew.</summary>
    SourceWentBack = 3,
}

/// <summary>
/// A new or recovering replica gets everything, range by range, while it goes on taking writes. In the order of the calls:
/// <see cref="Begin"/> or <see cref="BeginBehind"/>, then for each range <see cref="EncodeRequest"/>, <see cref="Offer"/>, <see cref="KeysToJoin"/>, <see cref="Join"/>; after the last one ordinary pulls, and
/// <see cref="TryFinish"/> after each of them.
/// </summary>
/// <remarks>
/// Every range is read at the source's clock of the first range or a later one, so afterwards everything in that clock is accounted for. The part of it that can't be pulled is adopted at the end
/// of the ranges; the rest (and with it the dot-key entries) is pulled in the ordinary way. Until the clock holds all that the source knew at the last range, the data runs ahead of the clock: the replica is
/// recovering, is no source and no quorum member. A restart in between begins anew.
/// Two replicas that each forgot what the other lacks would wait for one another for ever: so a whole replica stays whole, and a source, until it joins its first range, and gives up its own copy to
/// serve one that is further on.
/// </remarks>
public sealed class FullCopy
{
    private readonly ReplicaState _state;
    private ShardClock? _target;
    private ShardClock? _adopt;
    private ulong _attempt;

    internal FullCopy(ReplicaState state) => _state = state;

    /// <summary>Ranges are being copied, or what came after them is being pulled.</summary>
    public bool IsRunning { get; private set; }

    /// <summary>All ranges are joined: pull, from any whole replica, and try to finish.</summary>
    public bool IsCatchingUp => _state.Copied is { All: true };

    /// <summary>The page that was accepted and waits for <see cref="Join"/>.</summary>
    public FullCopyPage? Waiting => _state.Copied?.Waiting;

    /// <summary>Begins, or begins anew, in a replica that lost or never had its data. From here on it is recovering.</summary>
    public DottedMark Begin()
    {
        Clear();
        IsRunning = true;
        if (!_state.Recovering)
        {
            _state.LetGo?.BeginFromNothing();
        }

        _state.Recovering = true;
        return _state.CommitMark(DottedRecordKind.CopyBegun, null);
    }

    /// <summary>Begins in a whole replica that was answered <see cref="PullAnswer.FullCopyNeeded"/>. It is recovering only from the first accepted range on.</summary>
    public void BeginBehind()
    {
        Invariant.Assert(!_state.Recovering);
        Clear();
        IsRunning = true;
    }

    /// <summary>
    /// No answer came. A whole replica forgets that it wanted a copy, so that it serves one to others again: whom it had asked may itself be recovering now, and wait for this one. The next pull finds out anew.
    /// </summary>
    public void GiveUpHope()
    {
        if (!_state.Recovering)
        {
            Clear();
        }
    }

    /// <summary>There is no source left in the world: this replica counts as whole, with what it has.</summary>
    internal DottedMark GiveUpRecovery()
    {
        Invariant.Assert(_state.Recovering);
        Clear();
        _state.LetGo?.EndCopy(VersionVector.Empty);
        _state.Recovering = false;
        return _state.CommitMark(DottedRecordKind.CopyFinished, null);
    }

    /// <summary>Asks for the next range. To be repeated when no answer comes.</summary>
    public void EncodeRequest(IBufferWriter<byte> output)
    {
        Invariant.Assert(IsRunning && !IsCatchingUp);
        new FullCopyRequest(_state.Self, _attempt, _state.Copied?.Through ?? ReadOnlyMemory<byte>.Empty).Encode(output);
    }

    /// <param name="page">Decoded.</param>
    /// <param name="mark">To be persisted at once, if there is one.</param>
    public CopyOffer Offer(FullCopyPage page, out DottedMark? mark)
    {
        mark = null;
        _state.AssertNotMintedElsewhere(page.Capture.Clock.HighestOf(_state.Self));
        if (!IsRunning || IsCatchingUp || Waiting is not null || !Answers(page.Request) || (_state.LetGo is null) != (page.Capture.LetGo is null))
        {
            return CopyOffer.Ignored;
        }

        if (_state.Copied is null)
        {
            _state.Copied = new CopiedRanges(page.Capture.Clock);
            _adopt = page.Capture.Unmapped;
        }
        else if (!page.Capture.Clock.Includes(_state.Copied.FirstClock))
        {
            return CopyOffer.SourceWentBack;
        }

        if (!_state.Recovering && _state.LetGo is null)
        {
            // Where each object carries its whole context, none of them runs ahead of the clock.
            _state.Recovering = true;
            mark = _state.CommitMark(DottedRecordKind.CopyBegun, null);
        }

        _target = page.Capture.Clock;
        _state.Copied.SourceLetGo = page.Capture.LetGo;
        _state.Copied.Await(page);
        return CopyOffer.Accepted;
    }

    /// <summary>The keys whose stored objects must be resident for <see cref="Join"/>: ask again if some had to be loaded.</summary>
    /// <param name="ownKeys">The own keys of the page's range, from a scan that began after the page was accepted.</param>
    public IReadOnlyCollection<Key> KeysToJoin(IEnumerable<Key> ownKeys)
    {
        Invariant.Assert(Waiting is not null);
        SortedSet<Key> keys = [.. ownKeys, .. _state.Copied!.Touched];
        keys.RemoveWhere(key => !Waiting.Contains(key));
        foreach (CopiedKey copied in Waiting.Keys)
        {
            keys.Add(copied.Key);
        }

        return keys;
    }

    /// <summary>Joins the accepted page, in one turn. The changes are to be persisted in this order, then the mark if there is one.</summary>
    /// <param name="keys">As <see cref="KeysToJoin"/> gave them in this turn.</param>
    /// <param name="stored">The own stored objects.</param>
    public (List<DottedChange> Changes, DottedMark? Mark) Join(IReadOnlyCollection<Key> keys, StoredLookup stored)
    {
        FullCopyPage page = Waiting ?? throw new InvalidOperationException("No page waits to be joined.");
        DottedObject absent = _state.LetGo is null ? DottedObject.Gone(page.Capture.Clock.BaseVector) : DottedObject.Empty;
        List<DottedChange> changes = [];
        int next = 0;
        foreach (Key key in keys)
        {
            DottedObject theirs = absent;
            if (next < page.Keys.Count && page.Keys[next].Key == key)
            {
                theirs = page.Keys[next++].Object;
            }

            DottedObject before = stored(key);
            DottedObject mine = before.Fill(_state.KnownFor(key));
            DottedObject joined = _state.LetGo is null ? DottedObject.Sync(mine, theirs) : _state.LetGo.JoinCopied(key, mine, theirs, _state.Clock, page.Capture);
            if (!joined.Equals(mine) && !(joined.IsEmpty && mine.IsEmpty && ReferenceEquals(theirs, absent)))
            {
                changes.Add(_state.Commit(key, before, joined, ReadOnlySpan<Dot>.Empty));
            }
        }

        Invariant.Assert(next == page.Keys.Count);
        _state.Copied!.Joined();
        return (changes, IsCatchingUp ? AdoptClock() : null);
    }

    /// <summary>Ends the copy if the clock now holds all that the source knew.</summary>
    public DottedMark? TryFinish()
    {
        if (!IsCatchingUp || !_state.Clock.Includes(_target!))
        {
            return null;
        }

        Clear();
        _state.Recovering = false;
        return _state.CommitMark(DottedRecordKind.CopyFinished, null);
    }

    /// <summary>Whether this replica serves a copy to the asker, which may mean to give up one that it had hoped for itself.</summary>
    internal bool YieldsTo(in FullCopyRequest request)
    {
        if (_state.Recovering)
        {
            return false;
        }

        if (IsRunning && request.After.IsEmpty && request.Asker.CompareTo(_state.Self) < 0)
        {
            return false;
        }

        Clear();
        return true;
    }

    private bool Answers(in FullCopyRequest request)
        => request.Asker == _state.Self && request.Attempt == _attempt && request.After.Span.SequenceEqual((_state.Copied?.Through ?? ReadOnlyMemory<byte>.Empty).Span);

    private void Clear()
    {
        IsRunning = false;
        _attempt++;
        _state.Copied = null;
        _target = null;
        _adopt = null;
    }

    private DottedMark AdoptClock()
    {
        DottedMark mark = _state.CommitMark(DottedRecordKind.ClockAdopted, _adopt);
        _state.SeeUnmapped(_adopt!);
        _state.LetGo?.EndCopy(_state.Copied!.SourceLetGo!);
        _state.Frontier.Await(mark.Number, _adopt!);
        return mark;
    }
}
