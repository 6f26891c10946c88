using BenchmarkDotNet.Attributes;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;

namespace KvStore.Benchmarks;

/// <summary>
/// The leader's share of committing entries in a group of three, without any I/O: propose, hand out, persist, two answers, apply. Per entry.
/// </summary>
[MemoryDiagnoser]
public class RaftRound
{
    private const int EntriesPerRound = 64;

    private static readonly ReplicaId[] Voters = [new(1), new(2), new(3)];

    private readonly byte[] _payload = new byte[150];
    private readonly List<RaftMessage> _sent = [];
    private RaftNode _leader = null!;

    [GlobalSetup]
    public void Elect()
    {
        _leader = new RaftNode(new RaftOptions { TellCommitWithHeartbeats = true }, Voters[0], new MembershipConfig(Voters), RaftRecoveredState.Empty, new Random(1));
        _leader.Campaign();
        while (_leader.State != RaftRole.Leader)
        {
            foreach (RaftMessage request in Drain())
            {
                RaftMessageKind answer = request.Kind switch
                {
                    RaftMessageKind.PreVote => RaftMessageKind.PreVoteResponse,
                    RaftMessageKind.Vote => RaftMessageKind.VoteResponse,
                    _ => RaftMessageKind.None,
                };
                if (answer != RaftMessageKind.None)
                {
                    _leader.Step(new RaftMessage { Kind = answer, From = request.To, To = request.From, Term = request.Term });
                }
            }
        }

        Round();
    }

    [Benchmark(OperationsPerInvoke = EntriesPerRound)]
    public void Round()
    {
        for (int i = 0; i < EntriesPerRound; i++)
        {
            _leader.Propose(_payload, out _, out _);
        }

        Drain();
        foreach (ReplicaId follower in Voters.AsSpan(1))
        {
            _leader.Step(new RaftMessage { Kind = RaftMessageKind.AppendResponse, From = follower, To = Voters[0], Term = _leader.Term, Index = _leader.LastIndex });
        }

        Drain();
        _leader.Compact(_leader.AppliedIndex);
    }

    private List<RaftMessage> Drain()
    {
        _sent.Clear();
        while (_leader.HasReady)
        {
            Ready ready = _leader.TakeReady();
            _sent.AddRange(ready.MessagesNow);
            _sent.AddRange(ready.MessagesAfterPersist);
            ReadOnlySpan<Entry> entries = ready.EntriesToPersist.Span;
            ReadOnlySpan<Entry> committed = ready.Committed.Span;
            LogIndex applied = committed.Length > 0 ? committed[^1].Index : LogIndex.Zero;
            (LogIndex Index, Term Term) persisted = entries.Length > 0 ? (entries[^1].Index, entries[^1].Term) : default;
            if (persisted.Index > LogIndex.Zero)
            {
                _leader.OnPersisted(persisted.Index, persisted.Term);
            }

            if (applied > LogIndex.Zero)
            {
                _leader.OnApplied(applied);
            }

            for (int i = _sent.Count - 1; i >= 0; i--)
            {
                if (_sent[i].To == Voters[0])
                {
                    _leader.Step(_sent[i]);
                    _sent.RemoveAt(i);
                }
            }
        }

        return _sent;
    }
}
