using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Watching;
using KvStore.Core.Versioning;
using Xunit;
using Replication = KvStore.Core.Policy.Replication;

namespace KvStore.Core.Tests.Replicas.Watching;

/// <summary>The bounds of the window, and positions of the log in it.</summary>
public class ChangeWindowTests
{
    [Fact]
    public void A_window_never_holds_more_than_its_bounds()
    {
        var budget = new WindowBudget(1 << 20);
        var window = new ChangeWindow(10, 4_096, budget);
        window.Append(Reset(1));
        for (ulong index = 2; index < 100; index++)
        {
            window.Append(Put("k", index, valueBytes: 100));
            window.Count.Should().BeLessThanOrEqualTo(10);
            window.Bytes.Should().BeLessThanOrEqualTo(4_096);
            budget.Bytes.Should().Be(window.Bytes);
        }

        window.Append(Put("k", 100, valueBytes: 100_000));
        window.Count.Should().Be(1, "the newest stays, whatever its size");
        window.Close();
        budget.Bytes.Should().Be(0);
    }

    [Fact]
    public void Windows_share_a_budget_and_who_appends_gives_up_its_own()
    {
        var budget = new WindowBudget(4_000);
        ChangeWindow[] windows = [new(1_000, 1 << 20, budget), new(1_000, 1 << 20, budget)];
        foreach (ChangeWindow window in windows)
        {
            window.Append(Reset(1));
            for (ulong index = 2; index < 50; index++)
            {
                window.Append(Put("k", index, valueBytes: 100));
            }
        }

        budget.Bytes.Should().BeLessThanOrEqualTo(4_000 + windows[1][windows[1].First].Bytes);
        windows[0].Count.Should().BeGreaterThan(1);
    }

    [Fact]
    public void An_entry_that_changes_several_keys_can_be_resumed_in_its_midst()
    {
        ChangeWindow window = Window(Put("a", 5, ordinal: 1), Put("b", 5, ordinal: 2), Put("c", 5, ordinal: 0), Put("d", 6));
        Read(window, 5, ordinal: 2).Should().Equal("c", "d");
        Read(window, 5, ordinal: 0).Should().Equal("d");
        Read(window, 4, ordinal: 0).Should().Equal("a", "b", "c", "d");
    }

    [Fact]
    public void A_position_of_a_history_that_was_cut_off_is_a_gap()
    {
        // Entry 6 was of term 1 when it was told; a forced recovery went on from 5 in term 9.
        ChangeWindow window = Window(Put("a", 5), Put("b", 6, term: 9));
        State(window, 6, term: 1).Should().Be(CursorState.Gap);
        State(window, 7, term: 1).Should().Be(CursorState.Gap);
        State(window, 6, term: 9).Should().Be(CursorState.Reading);
        State(window, 7, term: 9).Should().Be(CursorState.Waiting);
        State(window, 5, term: 1).Should().Be(CursorState.Reading);
    }

    [Fact]
    public void A_reader_that_waits_goes_on_when_the_replica_is_so_far_though_nothing_has_changed()
    {
        ChangeWindow window = Window(Put("a", 5));
        var cursor = WindowCursor.From(window, WatchRange.All, WatchPosition.InLog(new LogPlace(new Term(1), new LogIndex(7)), 0));
        cursor.State.Should().Be(CursorState.Waiting);
        window.Append(new ShardChange { Kind = ShardChangeKind.Silent, Place = new LogPlace(new Term(1), new LogIndex(8)) });
        cursor.Place(window);
        cursor.State.Should().Be(CursorState.Reading);
        window.Append(Put("b", 9));
        cursor.WakeAt(window.Next - 1);
        List<WatchItem> items = [];
        cursor.Read(window, 10, items);
        items.Should().ContainSingle(item => item.Change.Key == Key.FromText("b"));
    }

    [Fact]
    public void What_a_reset_throws_away_has_no_number()
    {
        // The pages of a watch that begins with values say up to which number changes are in them: counted too far, changes after them would be taken for known.
        var descriptor = new ShardDescriptor(new ShardId(7, 0), new Epoch(1), new KeyspaceMode(PartitionChoice.Ap, Replication.Sync), [new ReplicaPlace(new NodeId(1), new ReplicaId(1))], new NodeId(1));
        var options = new ReplicaOptions();
        var storage = new ScriptedStorage();
        var feed = new ChangeFeed(descriptor, options, new ReplicaClock(), new ViewState(options, storage), new RegimeState(descriptor, storage));
        var window = new ChangeWindow(100, 1 << 20, new WindowBudget(1 << 30));
        feed.Reset(null);
        feed.OnEvicted(Key.FromText("k"), DottedObject.Single(new DottedValue(new Dot(new ActorId(9), 1), default, new byte[1]), VersionVector.Empty), number: 5);
        feed.Reset(null);
        List<ShardChange> changes = [];
        feed.MoveTo(changes);
        changes.ForEach(window.Append);
        window.Next.Should().Be(feed.Noted);
    }

    [Fact]
    public void A_change_is_read_as_it_was_appended_and_stays_so_when_the_window_has_passed_over_it()
    {
        var window = new ChangeWindow(2, 1 << 20, new WindowBudget(1 << 30));
        window.Append(Reset(1));
        var clock = new ShardClock();
        clock.Add(new Dot(new ActorId(70_000), 3));
        ShardChange[] changes =
        [
            new() { Kind = ShardChangeKind.Put, Key = Key.FromText("k"), Record = new byte[] { 1, 2, 3 }, Epoch = new Epoch(4), Dot = new Dot(new ActorId(70_000), 4), MoreDots = [new Dot(new ActorId(70_001), 1)] },
            new() { Kind = ShardChangeKind.Opened, Epoch = new Epoch(5), Place = new LogPlace(new Term(2), new LogIndex(9)), Clock = clock },
            new() { Kind = ShardChangeKind.Deleted, Key = Key.FromText("other"), Epoch = new Epoch(6), Place = new LogPlace(new Term(2), new LogIndex(10)), Ordinal = 1 },
            new() { Kind = ShardChangeKind.Silent, Place = new LogPlace(new Term(2), new LogIndex(11)), IsOpen = true },
        ];
        foreach (ShardChange change in changes)
        {
            window.Append(change);
            window.MarkNewest();
            ShardChange read = window[window.Next - 1];
            read.Position.Should().Equal(window.TailPosition);
            for (int i = 0; i < 3; i++)
            {
                window.Append(Put("filler", 20, valueBytes: 70_000));
            }

            read.Key.Bytes.ToArray().Should().Equal(change.Key.Bytes.ToArray());
            read.Record.ToArray().Should().Equal(change.Record.ToArray());
            read.MoreDots.Should().Equal(change.MoreDots);
            (read.Kind, read.Epoch, read.Place, read.Ordinal, read.Dot, read.IsOpen, read.Bytes).Should().Be((change.Kind, change.Epoch, change.Place, change.Ordinal, change.Dot, change.IsOpen, change.Bytes));
            (read.Clock?.Covers(new Dot(new ActorId(70_000), 3)) ?? false).Should().Be(change.Clock is not null);
        }
    }

    [Fact]
    public void Any_bytes_at_all_are_a_position_or_are_refused()
    {
        var random = new Random(7);
        for (int i = 0; i < 20_000; i++)
        {
            byte[] bytes = new byte[random.Next(40)];
            random.NextBytes(bytes);
            if (bytes.Length > 0)
            {
                bytes[0] = (byte)random.Next(4);
            }

            try
            {
                WatchPosition.Decode(bytes).Encode().Should().Equal(bytes, "there is one encoding of each position");
            }
            catch (MalformedRecordException)
            {
                // Refused, which is what garbage gets.
            }
        }

        FluentActions.Invoking(() => WatchPosition.Decode(new byte[WatchPosition.MaxBytes + 1])).Should().Throw<MalformedRecordException>();
    }

    private static ShardChange Reset(ulong index) => new() { Kind = ShardChangeKind.Reset, Place = new LogPlace(new Term(1), new LogIndex(index)) };

    private static ShardChange Put(string key, ulong index, int ordinal = 0, ulong term = 1, int valueBytes = 1) => new()
    {
        Kind = ShardChangeKind.Put,
        Key = Key.FromText(key),
        Record = new byte[valueBytes],
        Place = new LogPlace(new Term(term), new LogIndex(index)),
        Ordinal = ordinal,
    };

    private static ChangeWindow Window(params ShardChange[] changes)
    {
        var window = new ChangeWindow(100, 1 << 20, new WindowBudget(1 << 30));
        window.Append(Reset(1));
        foreach (ShardChange change in changes)
        {
            window.Append(change);
        }

        return window;
    }

    private static string[] Read(ChangeWindow window, ulong index, int ordinal)
    {
        List<WatchItem> items = [];
        WindowCursor.From(window, WatchRange.All, WatchPosition.InLog(new LogPlace(new Term(1), new LogIndex(index)), ordinal)).Read(window, 100, items);
        return [.. items.Select(item => item.Change.Key.ToString())];
    }

    private static CursorState State(ChangeWindow window, ulong index, ulong term) =>
        WindowCursor.From(window, WatchRange.All, WatchPosition.InLog(new LogPlace(new Term(term), new LogIndex(index)), 0)).State;
}
