using System.Diagnostics;
using System.Globalization;
using System.Text;
using KvStore.Client;
using KvStore.Contracts;
using KvStore.Contracts.Pipeline;
using KvStore.Contracts.V1;

namespace KvStore.Cli.Bench.Raw;

/// <summary>Puts of random keys over many connections to each node, each sent to the node that serves its shard: in a closed loop, or at a rate, whatever the answers do.</summary>
internal sealed class RawPuts : IAsyncDisposable
{
    /// <summary>As many as a .NET client leaves unfinished.</summary>
    public const int InFlightPerConnection = 2_048;

    private const int ValueBytes = 100;
    private const uint TimeoutMs = 10_000;

    /// <summary>Connections that share one take turns on its lock; a histogram for each connection would take much memory.</summary>
    private const int Tallies = 8;

    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(1);

    private readonly uint _keyspace;
    private readonly byte[] _value = new byte[ValueBytes];
    private readonly (byte[] Key, RawPutStream[] Way)[] _keys;
    private readonly RawPutStream[] _streams;
    private readonly RawTally[] _tallies;
    private int _turn;

    private RawPuts(uint keyspace, (byte[] Key, RawPutStream[] Way)[] keys, RawPutStream[] streams, RawTally[] tallies)
    {
        (_keyspace, _keys, _streams, _tallies) = (keyspace, keys, streams, tallies);
        new Random(ValueBytes).NextBytes(_value);
    }

    public int InFlight => _streams.Sum(stream => stream.InFlight);

    /// <summary>Operations in flight at the most, over all connections.</summary>
    public int MostInFlight => _streams.Length * InFlightPerConnection;

    /// <summary>Opens so many connections to each node that takes writes of the keyspace.</summary>
    /// <param name="topology">The cluster.</param>
    /// <param name="keyspace">The keyspace.</param>
    /// <param name="nodeOf">Who takes the writes of each shard.</param>
    /// <param name="keys">How many different keys.</param>
    /// <param name="connections">To each node.</param>
    public static RawPuts Connect(KvTopology topology, KvKeyspaceInfo keyspace, IReadOnlyDictionary<int, uint> nodeOf, int keys, int connections)
    {
        RawTally[] tallies = [.. Enumerable.Range(0, Tallies).Select(_ => new RawTally())];
        RawPutStream[] ConnectTo(uint node)
        {
            var address = new Uri("http://" + topology.Members.Single(member => member.Node == node).Address);
            return [.. Enumerable.Range(0, connections).Select(number => new RawPutStream(address, topology.ClusterId, tallies[number % Tallies]))];
        }

        var ways = nodeOf.Values.Distinct().ToDictionary(node => node, ConnectTo);
        var routed = new (byte[], RawPutStream[])[keys];
        for (var key = 0; key < keys; key++)
        {
            var bytes = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"bench-{key:D10}"));
            routed[key] = (bytes, ways[nodeOf[KeyRouting.ShardOf(bytes, keyspace.Shards.Count)]]);
        }

        return new RawPuts(keyspace.Id, routed, [.. ways.Values.SelectMany(way => way)], tallies);
    }

    /// <summary>Keeps so many puts in flight for a time. Returns what was answered in it.</summary>
    public async Task<RawTally> ClosedAsync(int inFlight, TimeSpan duration, CancellationToken stop)
    {
        var random = new Random(1);
        var open = true;
        foreach (var stream in _streams)
        {
            stream.Answered = answers =>
            {
                if (Volatile.Read(ref open))
                {
                    Send(answers);
                }
            };
        }

        Send(inFlight);
        await Task.Delay(duration, stop);
        var tally = Collect();
        Volatile.Write(ref open, false);
        foreach (var stream in _streams)
        {
            stream.Answered = null;
        }

        await DrainAsync(TimeSpan.FromSeconds(30), stop);
        Collect();
        return tally;

        void Send(int count)
        {
            lock (random)
            {
                for (var put = 0; put < count; put++)
                {
                    AddRandom(random, Stopwatch.GetTimestamp());
                }
            }

            FlushAll();
        }
    }

    /// <summary>Sends puts at a rate for a time; those for which no connection has room are counted and left out. Returns what was answered in that time.</summary>
    public async Task<(RawTally Answered, long Sent, long LeftOut)> OpenAsync(double rate, TimeSpan duration, CancellationToken stop)
    {
        var random = new Random(2);
        var begin = Stopwatch.GetTimestamp();
        long sent = 0, leftOut = 0;
        using var timer = new PeriodicTimer(Tick);
        while (Stopwatch.GetElapsedTime(begin) is var elapsed && elapsed < duration)
        {
            var due = (long)(rate * elapsed.TotalSeconds);
            while (sent + leftOut < due)
            {
                // Due at its place in the schedule, however late this loop is.
                var moment = begin + (long)((sent + leftOut) / rate * Stopwatch.Frequency);
                _ = AddRandom(random, moment) ? sent++ : leftOut++;
            }

            FlushAll();
            await timer.WaitForNextTickAsync(stop);
        }

        return (Collect(), sent, leftOut);
    }

    /// <summary>One put over each connection.</summary>
    public async Task EachOnceAsync(CancellationToken stop)
    {
        foreach (var stream in _streams)
        {
            stream.Add(Put(_keys[0].Key, Stopwatch.GetTimestamp()));
            stream.Flush();
        }

        await DrainAsync(TimeSpan.FromSeconds(60), stop);
    }

    /// <summary>Waits until everything is answered, or for so long. Returns what was answered.</summary>
    public async Task<RawTally> DrainAsync(TimeSpan patience, CancellationToken stop)
    {
        var begin = Stopwatch.GetTimestamp();
        using var look = new PeriodicTimer(TimeSpan.FromMilliseconds(10));
        while (InFlight > 0 && Stopwatch.GetElapsedTime(begin) < patience)
        {
            await look.WaitForNextTickAsync(stop);
        }

        return Collect();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var stream in _streams)
        {
            await stream.DisposeAsync();
        }
    }

    /// <summary>False: the connection whose turn it is has as many in flight as it may.</summary>
    private bool AddRandom(Random random, long moment)
    {
        var (key, way) = _keys[random.Next(_keys.Length)];
        var stream = way[(int)((uint)++_turn % (uint)way.Length)];
        if (stream.InFlight >= InFlightPerConnection)
        {
            return false;
        }

        stream.Add(Put(key, moment));
        return true;
    }

    private WireOperation Put(byte[] key, long moment) => new() { CallId = (ulong)moment, Kind = OperationKind.Put, KeyspaceId = _keyspace, Key = key, Value = _value, TimeoutMs = TimeoutMs };

    private void FlushAll()
    {
        foreach (var stream in _streams)
        {
            stream.Flush();
        }
    }

    private RawTally Collect()
    {
        var sum = new RawTally();
        foreach (var tally in _tallies)
        {
            lock (tally)
            {
                sum.Take(tally);
            }
        }

        return sum;
    }
}
