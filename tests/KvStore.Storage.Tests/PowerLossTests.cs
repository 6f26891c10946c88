using System.Globalization;
using System.Text;
using CsCheck;
using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using Xunit;

namespace KvStore.Storage.Tests;

/// <summary>
/// Scenarios 22 to 25 below the replica: two loops, three shards, everything on one thread in random order, with power losses in which each unsynced sector keeps its old or its new content.
/// </summary>
public sealed class PowerLossTests(ITestOutputHelper output)
{
    [Fact]
    public void No_power_loss_takes_what_was_acknowledged_or_tears_the_view()
    {
        Gen.Int[0, int.MaxValue].Sample(Run, iter: 150, threads: 1, writeLine: output.WriteLine);
    }

    private static void Run(int seed)
    {
        var random = new Random(seed);
        var disk = new SimulatedDisk();
        var shards = new ShardModel[] { new(new ShardId(1, 0), 0), new(new ShardId(1, 1), 0), new(new ShardId(2, 0), 1) };
        for (var life = random.Next(2, 6); life > 0; life--)
        {
            var scheduler = new StepScheduler();
            var node = NodeStorage.Open(new StorageOptions
            {
                ClusterId = "power",
                NodeId = new NodeId(2),
                Engine = StorageEngine.Memory,
                Disk = disk,
                SegmentBytes = 64 * 1024,
                RetainedLogBytes = 128 * 1024,
                TableBytes = random.Next(2) == 0 ? 2_000 : 1 << 20,
                PreloadBytes = random.Next(2) == 0 ? 0 : 1 << 20,
                Scheduler = scheduler,
            });
            var sinks = new[] { new RecordingSink(), new RecordingSink() };
            var loops = sinks.Select(node.CreateLoop).ToArray();
            foreach (var shard in shards)
            {
                shard.Open(loops[shard.Loop], sinks[shard.Loop], scheduler, random);
            }

            for (var step = random.Next(5, 120); step > 0; step--)
            {
                var shard = shards[random.Next(shards.Length)];
                shard.Act(random);
                if (random.Next(3) == 0)
                {
                    loops[shard.Loop].Submit();
                }

                if (random.Next(20) == 0)
                {
                    node.RequestFlush();
                }

                for (var work = random.Next(4); work > 0; work--)
                {
                    scheduler.Step(random);
                }
            }

            foreach (var shard in shards)
            {
                shard.TakeAcknowledged();
            }

            node.Error.Should().BeNull();
            if (random.Next(4) == 0)
            {
                node.Dispose();
            }
            else
            {
                node.Abandon();
                disk.Crash(random);
            }
        }
    }

    private sealed class ShardModel(ShardId id, int loop)
    {
        private const int Keys = 12;
        private readonly List<(ulong Index, LogPosition Position)> _pending = [];
        private IReplicaStorage _replica = null!;
        private RecordingSink _sink = null!;
        private ulong _last;
        private ulong _applied;
        private ulong _acknowledged;
        private ulong _vote;
        private ulong _acknowledgedVote;
        private ulong _installing;

        public int Loop { get; } = loop;

        public void Open(StorageLoop storage, RecordingSink sink, StepScheduler scheduler, Random random)
        {
            _sink = sink;
            _pending.Clear();
            _installing = 0;
            _replica = storage.OpenReplica(id, out var recovered);
            _applied = recovered.Position.Applied.Value;
            VerifyView(storage, scheduler, random);
            var next = _applied;
            ulong vote = 0;
            foreach (var record in recovered.Records)
            {
                if (record.Kind == LogRecordKind.HardState)
                {
                    vote = record.Term.Value;
                    continue;
                }

                record.Payload.ToArray().Should().Equal(Payload(record.Index.Value));
                if (record.Index.Value == next + 1)
                {
                    Apply(++next);
                }
                else
                {
                    record.Index.Value.Should().BeLessThanOrEqualTo(next, "there is no gap behind the view");
                }
            }

            _applied = _last = next;
            _last.Should().BeGreaterThanOrEqualTo(_acknowledged, "acknowledged entries survive");
            vote.Should().BeGreaterThanOrEqualTo(_acknowledgedVote, "an acknowledged vote survives");
            _vote = vote;
        }

        public void Act(Random random)
        {
            if (_installing > 0)
            {
                EndInstall();
                return;
            }

            switch (random.Next(30) == 0 ? -1 : random.Next(8))
            {
                case -1:
                    BeginInstall(_last + (ulong)random.Next(1, 20));
                    break;
                case 0:
                    _replica.Seal(new ViewPosition(new LogIndex(_applied), new Term(1), 0));
                    break;
                case 1:
                    _replica.ReleaseLog(new LogIndex(Math.Min(_replica.DurablePosition.Applied.Value, _applied)), 0);
                    break;
                case 2:
                    _pending.Add((0, _replica.Append(LogRecordKind.HardState, new Term(++_vote), new LogIndex(0), Payload(_vote), SyncUrgency.Now)));
                    break;
                default:
                    for (var burst = random.Next(1, 6); burst > 0; burst--)
                    {
                        _last++;
                        var urgency = random.Next(2) == 0 ? SyncUrgency.Now : SyncUrgency.Lazy;
                        _pending.Add((_last, _replica.Append(LogRecordKind.Entry, new Term(1), new LogIndex(_last), Payload(_last), urgency)));
                        Apply(_last);
                        _applied = _last;
                    }

                    break;
            }
        }

        public void TakeAcknowledged()
        {
            _sink.Take();
            _sink.Failed.Should().BeNull();
            var votes = _vote - (ulong)_pending.Count(append => append.Index == 0);
            foreach (var (index, position) in _pending)
            {
                votes += index == 0 ? 1ul : 0;
                if (position <= _sink.Durable)
                {
                    _acknowledged = Math.Max(_acknowledged, index);
                    _acknowledgedVote = Math.Max(_acknowledgedVote, index == 0 ? votes : 0);
                }
            }
        }

        private void BeginInstall(ulong position)
        {
            _replica.BeginInstall();
            for (var index = position; index > 0 && index + Keys > position; index--)
            {
                if (index % 5 != 0)
                {
                    _replica.Install(RecordSpace.Data, Key(index), Encoding.UTF8.GetBytes(index.ToString(CultureInfo.InvariantCulture)));
                }
            }

            _replica.CommitInstall(new ViewPosition(new LogIndex(position), new Term(1), 0));
            _installing = position;
        }

        private void EndInstall()
        {
            _sink.Take();
            if (_sink.Installed.TryGetValue(id, out var position) && position.Applied.Value == _installing)
            {
                _last = _applied = _acknowledged = _installing;
                _installing = 0;
            }
        }

        private static byte[] Payload(ulong index)
        {
            var payload = new byte[(int)(index * 131 % 3_000)];
            payload.AsSpan().Fill((byte)index);
            return payload;
        }

        private static byte[] Key(ulong index) => Encoding.UTF8.GetBytes($"k{index % Keys}");

        /// <summary>Every fifth entry removes its key instead of setting it.</summary>
        private void Apply(ulong index)
        {
            if (index % 5 == 0)
            {
                _replica.Remove(RecordSpace.Data, Key(index));
            }
            else
            {
                _replica.Put(RecordSpace.Data, Key(index), Encoding.UTF8.GetBytes(index.ToString(CultureInfo.InvariantCulture)));
            }
        }

        private void VerifyView(StorageLoop storage, StepScheduler scheduler, Random random)
        {
            for (var slot = 0ul; slot < Keys; slot++)
            {
                var newest = _applied - ((_applied + Keys - slot) % Keys);
                var expected = _applied < slot || newest == 0 || newest > _applied || newest % 5 == 0 ? null : newest.ToString(CultureInfo.InvariantCulture);
                RecordLookup found;
                ReadOnlyMemory<byte> record;
                while ((found = _replica.Find(RecordSpace.Data, Key(slot), out record)) == RecordLookup.NotResident)
                {
                    _replica.BeginLoad(RecordSpace.Data, Key(slot), slot);
                    storage.Submit();
                    scheduler.RunAll(random);
                }

                (found == RecordLookup.Found ? Encoding.UTF8.GetString(record.Span) : null).Should().Be(expected, $"key {slot} at {_applied}");
            }
        }
    }
}
