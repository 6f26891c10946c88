using System.Text;
using FluentAssertions;
using KvStore.Core.Policy;
using KvStore.Core.Replicas;
using KvStore.Core.Replicas.Watching;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Replicas.Watching;

/// <summary>
/// A reader that moves from replica to replica at random while nodes die, are cut off and change the regime, held against what was written: in cp each change once and in order, in ap the last that was told of a key is
/// what the replicas hold, and where there was no gap nothing is missing.
/// </summary>
public class RandomWatchTests
{
    private const int Steps = 120;

    [Fact]
    public void In_cp_each_acknowledged_write_is_told_once_and_in_order()
    {
        for (int seed = 1; seed <= 25; seed++)
        {
            var play = new Play(PartitionChoice.Cp, seed, switches: false);
            play.Run();
            play.Gaps.Should().Be(0, $"the windows hold everything (seed {seed})");
            foreach (IGrouping<string, (string Key, string Value)> key in play.Told.GroupBy(told => told.Key))
            {
                string[] values = [.. key.Select(told => told.Value)];
                values.Should().OnlyHaveUniqueItems($"of {key.Key} (seed {seed})");
                values.Should().BeInAscendingOrder($"each later write has a larger value (seed {seed})");
            }

            play.Told.Select(told => told.Value).Should().Contain(play.Acknowledged, $"(seed {seed})");
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void In_ap_and_across_changes_of_the_regime_the_last_that_is_told_is_what_is_there(bool switches)
    {
        int gaps = 0;
        for (int seed = 1; seed <= 25; seed++)
        {
            var play = new Play(switches ? PartitionChoice.Cp : PartitionChoice.Ap, seed, switches);
            play.Run();
            gaps += play.Gaps;
            foreach ((string key, string value) in play.Final())
            {
                (play.Told.LastOrDefault(told => told.Key == key).Value ?? "(never told)").Should().Be(value, $"of {key} (seed {seed}, {play.Gaps} gaps)");
            }
        }

        gaps.Should().BeLessThan(25, "most of the time another replica can go on");
    }

    private sealed class Play
    {
        private readonly ReplicaCluster _cluster;
        private readonly Random _random;
        private readonly bool _switches;
        private readonly ChangeWindow[] _windows = new ChangeWindow[3];
        private readonly List<ShardChange> _changes = [];
        private readonly List<WatchItem> _items = [];
        private WindowCursor? _cursor;
        private byte[]? _position;
        private int _at = -1;
        private int _written;
        private int _waited;

        public Play(PartitionChoice partition, int seed, bool switches)
        {
            _random = new Random(seed);
            _switches = switches;
            _cluster = new ReplicaCluster(3, partition, WatchedReplica.Options);
            _cluster.Elect(1);
            _cluster.Tick(4);
            for (int node = 0; node < 3; node++)
            {
                _windows[node] = NewWindow();
            }

            Pump();
            MoveReader();
        }

        public List<(string Key, string Value)> Told { get; } = [];

        public List<string> Acknowledged { get; } = [];

        public int Gaps { get; private set; }

        public void Run()
        {
            for (int step = 0; step < Steps; step++)
            {
                Step();
                Pump();
                Read(_random.Next(1, 6));
            }

            _cluster.Heal();
            for (uint node = 1; node <= 3; node++)
            {
                if (!_cluster[node].IsUp)
                {
                    Start(node);
                }
            }

            _cluster.TickUntil(() => Enumerable.Range(1, 3).Select(node => string.Join(';', Held((uint)node))).Distinct().Count() == 1, "all hold the same");
            _cluster.Tick(100);
            for (int i = 0; i < 200; i++)
            {
                Pump();
                Read(100);
            }
        }

        /// <summary>What the replicas hold.</summary>
        public IReadOnlyList<(string Key, string Value)> Final() => [.. Held(1)];

        private void Step()
        {
            switch (_random.Next(20))
            {
                case 0:
                    _cluster.Cut((uint)_random.Next(1, 4));
                    break;
                case 1 or 2:
                    _cluster.Heal();
                    break;
                case 3 when _cluster[1].IsUp && _cluster[2].IsUp && _cluster[3].IsUp:
                    _cluster[(uint)_random.Next(1, 4)].LosePower();
                    break;
                case 4 or 5:
                    for (uint node = 1; node <= 3; node++)
                    {
                        if (!_cluster[node].IsUp)
                        {
                            Start(node);
                        }
                    }

                    break;
                case 6 when _switches && Leader() is { } leader:
                    PartitionChoice other = leader.Replica.CurrentRegime.Mode.Partition == PartitionChoice.Cp ? PartitionChoice.Ap : PartitionChoice.Cp;
                    _cluster.AskMode(leader, new KeyspaceMode(other, Replication.Sync));
                    _cluster.Tick(10);
                    break;
                case 7 or 8 or 9:
                    MoveReader();
                    break;
                case 10:
                    _cluster.Tick(60);
                    break;
                default:
                    Write();
                    break;
            }

            _cluster.Tick(_random.Next(1, 8));
        }

        private void Write()
        {
            ReplicaMachine[] up = [.. Enumerable.Range(1, 3).Select(node => _cluster[(uint)node]).Where(machine => machine.IsUp)];
            ReplicaMachine at = Leader() is { Replica.CurrentRegime.IsOrdered: true } leader ? leader : up[_random.Next(up.Length)];
            string value = $"{++_written:00000}";
            ulong handle = _cluster.SubmitOnly(at, new ClientOperation { Kind = OperationKind.Put, Key = Encoding.UTF8.GetBytes($"k{_random.Next(4)}"), Value = Encoding.UTF8.GetBytes(value) });
            _cluster.Tick(2);
            if (_cluster.Answers.TryGetValue(handle, out Completion answer) && answer.Outcome == Outcome.Done)
            {
                Acknowledged.Add(value);
            }
        }

        private ReplicaMachine? Leader() => Enumerable.Range(1, 3).Select(node => _cluster[(uint)node]).Where(machine => machine.IsUp && machine.Replica.IsLeader).MaxBy(machine => machine.Replica.Term);

        private void Start(uint node)
        {
            _windows[node - 1] = NewWindow();
            _cluster[node].Start();
            if (_at == (int)node - 1)
            {
                _cursor = null;
            }

            _cluster.Settle();
        }

        private void Pump()
        {
            for (int node = 0; node < 3; node++)
            {
                ReplicaMachine machine = _cluster[(uint)node + 1];
                if (!machine.IsUp)
                {
                    continue;
                }

                machine.Replica.Watch!.Mark();
                machine.Replica.Watch!.TakeChanges(_changes);
                foreach (ShardChange change in _changes)
                {
                    Append(node, change);
                }

                _changes.Clear();
            }
        }

        private void Append(int node, ShardChange change)
        {
            _windows[node].Append(change);
            if (node != _at || _cursor is not { } cursor)
            {
                return;
            }

            if (change.Kind == ShardChangeKind.Reset)
            {
                // The node would end the stream.
                _cursor = null;
                return;
            }

            if (change.IsVisible)
            {
                _windows[node].MarkNewest();
                cursor.WakeAt(_windows[node].Next - 1);
            }

            cursor.Place(_windows[node]);
        }

        private void Read(int most)
        {
            if (_cursor is null || _cursor.State is CursorState.Behind || !_cluster[(uint)_at + 1].IsUp || _cluster[(uint)_at + 1].Replica.Watch!.Unfit is not null)
            {
                MoveReader();
                return;
            }

            if (_cursor.State == CursorState.Waiting && ++_waited > 15)
            {
                MoveReader();
                return;
            }

            _cursor.Read(_windows[_at], most, _items);
            foreach (WatchItem item in _items)
            {
                string value = item.Change.Kind == ShardChangeKind.Put ? TextOf(item.Change.Record) : "";
                Told.Add((Encoding.UTF8.GetString(item.Change.Key.Span), value));
                _position = item.Position;
            }

            _items.Clear();
            _position = _cursor.IsAtTail ? _cursor.Position : _position;
        }

        /// <summary>As the client does it: any replica that is fit; another one, if that has a gap; and only if all have, the gap counts.</summary>
        private void MoveReader()
        {
            _waited = 0;
            _cursor = null;
            int first = _random.Next(3);
            int withGap = -1;
            for (int i = 0; i < 3; i++)
            {
                int node = (first + i) % 3;
                ReplicaMachine machine = _cluster[(uint)node + 1];
                if (!machine.IsUp || machine.Replica.Watch!.Unfit is not null || !_windows[node].IsReady)
                {
                    continue;
                }

                WindowCursor cursor = _position is null ? WindowCursor.AtTail(_windows[node], WatchRange.All) : WindowCursor.From(_windows[node], WatchRange.All, WatchPosition.Decode(_position));
                if (cursor.State == CursorState.Gap)
                {
                    withGap = node;
                    continue;
                }

                (_at, _cursor, _position) = (node, cursor, _position ?? cursor.Position);
                return;
            }

            if (withGap >= 0)
            {
                Gaps++;
                _at = withGap;
                _cursor = WindowCursor.AtTail(_windows[withGap], WatchRange.All);
                _position = _cursor.Position;

                // Whoever is told of a gap reads what is there, and goes on.
                Told.AddRange(Held((uint)withGap + 1));
            }
        }

        private IEnumerable<(string Key, string Value)> Held(uint node)
        {
            for (int key = 0; key < 4; key++)
            {
                if (_cluster[node].View.Find(RecordSpace.Data, Encoding.UTF8.GetBytes($"k{key}"), out ReadOnlyMemory<byte> record) == RecordLookup.Found && TextOf(record) is { Length: > 0 } text)
                {
                    yield return ($"k{key}", text);
                }
            }
        }

        private static string TextOf(ReadOnlyMemory<byte> record) => string.Join('|', DottedObject.Decode(record).Siblings().Select(value => Encoding.UTF8.GetString(value.Value.Span)).Order());

        private static ChangeWindow NewWindow() => new(100_000, 1 << 28, new WindowBudget(1 << 30));
    }
}
