using System.Text;
using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using Xunit;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Records within a bound of bytes.</summary>
public class MemoryRecordsTests
{
    [Fact]
    public void What_was_used_stays_and_what_was_not_goes_oldest_first()
    {
        MemoryRecords records = new(maxBytes: 1_500);
        Fill(records, "a", "b", "c", "d");
        records.TryGet("a"u8, out _).Should().BeTrue();
        Put(records, "e").Should().Equal("b");
        Put(records, "f").Should().Equal("c");
        records.TryGet("a"u8, out _).Should().BeTrue();
    }

    [Fact]
    public void The_bytes_stay_within_the_bound_and_are_counted_exactly()
    {
        MemoryRecords records = new(maxBytes: 20_000);
        Random random = new(1);
        for (int i = 0; i < 5_000; i++)
        {
            string key = $"key-{random.Next(300)}";
            if (random.Next(4) == 0)
            {
                records.Remove(Key.FromText(key));
            }
            else
            {
                records.Put(Key.FromText(key), new byte[random.Next(500)], random.Next(10) == 0);
                while (records.IsFull && records.TryEvict(Key.FromText(key), out _, out _))
                {
                }
            }

            records.Bytes.Should().BeLessThanOrEqualTo(20_000);
            if (random.Next(3) == 0)
            {
                records.TryGet(Encoding.UTF8.GetBytes($"key-{random.Next(300)}"), out _);
            }
        }

        foreach (string key in Keys(records, "", ""))
        {
            records.Remove(Key.FromText(key)).Should().BeTrue();
        }

        (records.Bytes, records.Count, records.ConflictCount).Should().Be((0, 0, 0));
    }

    [Fact]
    public void Nothing_is_left_to_evict_but_the_record_that_was_just_put()
    {
        MemoryRecords records = new(maxBytes: 10);
        records.Put(Key.FromText("k"), new byte[100], inConflict: false);
        records.TryEvict(Key.FromText("k"), out _, out _).Should().BeFalse();
    }

    [Fact]
    public void A_scan_goes_in_key_order_from_behind_a_key_through_a_prefix()
    {
        MemoryRecords records = new(maxBytes: 1 << 20);
        Fill(records, "b2", "a", "b1", "c", "b3");
        Keys(records, "", "").Should().Equal("a", "b1", "b2", "b3", "c");
        Keys(records, "b", "").Should().Equal("b1", "b2", "b3");
        Keys(records, "b", "b1").Should().Equal("b2", "b3");
        Keys(records, "b", "c").Should().BeEmpty();
        Keys(records, "", "zz").Should().BeEmpty();
        ScanPage page = records.Scan(RecordSpace.Data, default, default, maxRecords: 2, maxBytes: 1_000);
        (page.Records.Count, page.More).Should().Be((2, true));
    }

    private static List<string> Put(MemoryRecords records, string key)
    {
        HashSet<string> before = [.. Keys(records, "", "")];
        records.Put(Key.FromText(key), new byte[80], inConflict: false);
        while (records.IsFull && records.TryEvict(Key.FromText(key), out _, out _))
        {
        }

        return [.. before.Except(Keys(records, "", ""))];
    }

    private static void Fill(MemoryRecords records, params string[] keys)
    {
        foreach (string key in keys)
        {
            records.Put(Key.FromText(key), new byte[80], inConflict: false);
        }
    }

    private static List<string> Keys(MemoryRecords records, string prefix, string after) =>
        [.. records.Scan(RecordSpace.Data, Encoding.UTF8.GetBytes(prefix), Encoding.UTF8.GetBytes(after), 1_000, 1 << 20).Records.Select(record => Encoding.UTF8.GetString(record.Key.Span))];
}
