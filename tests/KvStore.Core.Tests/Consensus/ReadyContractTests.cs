using FluentAssertions;
using KvStore.Core.Consensus;
using KvStore.Core.Identity;
using Xunit;

namespace KvStore.Core.Tests.Consensus;

/// <summary>What a <see cref="Ready"/> says about waiting for the disk.</summary>
public sealed class ReadyContractTests
{
    private static readonly ReplicaId Self = new(1);
    private static readonly ReplicaId Leader = new(2);
    private readonly RaftNode _node = new(RaftOptions.Default, Self, new MembershipConfig([Self, Leader, new(3)]), RaftRecoveredState.Empty, new Random(1));

    [Fact]
    public void A_changed_term_must_be_synced()
    {
        _node.Step(new RaftMessage { Kind = RaftMessageKind.Heartbeat, From = Leader, To = Self, Term = new Term(1) });

        _node.TakeReady().MustSync.Should().BeTrue();
    }

    [Fact]
    public void A_vote_must_be_synced()
    {
        _node.Step(new RaftMessage { Kind = RaftMessageKind.Heartbeat, From = Leader, To = Self, Term = new Term(1) });
        _node.TakeReady();
        for (int i = 0; i <= RaftOptions.Default.ElectionTicksMax; i++)
        {
            _node.Tick();
        }

        _node.TakeReady();
        _node.Step(new RaftMessage { Kind = RaftMessageKind.Vote, From = new ReplicaId(3), To = Self, Term = new Term(1) });

        Ready ready = _node.TakeReady();
        ready.HardState!.Value.Vote.Should().Be(new ReplicaId(3));
        ready.MustSync.Should().BeTrue();
    }

    [Fact]
    public void Entries_must_be_synced_even_if_the_hard_state_stays()
    {
        _node.Step(new RaftMessage { Kind = RaftMessageKind.Heartbeat, From = Leader, To = Self, Term = new Term(1) });
        _node.TakeReady();
        Append(1, commit: 0);

        Ready ready = _node.TakeReady();
        ready.HardState.Should().BeNull();
        ready.MustSync.Should().BeTrue();
    }

    [Fact]
    public void A_commit_index_alone_need_not_be_synced()
    {
        Append(1, commit: 0);
        _node.TakeReady();
        _node.Step(new RaftMessage { Kind = RaftMessageKind.Heartbeat, From = Leader, To = Self, Term = new Term(1), Commit = new LogIndex(1) });

        Ready ready = _node.TakeReady();
        ready.HardState!.Value.Commit.Should().Be(new LogIndex(1));
        ready.MustSync.Should().BeFalse();
    }

    private void Append(ulong index, ulong commit)
    {
        Entry[] entries = [new Entry(new Term(1), new LogIndex(index), EntryKind.Data, new byte[] { 1 })];
        _node.Step(new RaftMessage { Kind = RaftMessageKind.Append, From = Leader, To = Self, Term = new Term(1), Commit = new LogIndex(commit), Entries = entries });
    }
}
