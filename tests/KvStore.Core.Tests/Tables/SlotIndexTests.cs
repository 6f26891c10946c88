using FluentAssertions;
using KvStore.Core.Tables;
using Xunit;

namespace KvStore.Core.Tests.Tables;

/// <summary>The index of slots beside a list of what should be in it, with hashes that collide as a whole, in their places, and in rows.</summary>
public class SlotIndexTests
{
    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 7)]
    [InlineData(3, 64)]
    [InlineData(4, int.MaxValue)]
    public void It_finds_exactly_what_was_added_and_not_removed(int seed, int hashes)
    {
        Random random = new(seed);
        SlotIndex index = new();
        List<(int Hash, int Slot)> present = [];
        for (int step = 0; step < 3_000; step++)
        {
            if (present.Count == 0 || random.Next(5) < 3)
            {
                // Hashes of few places, negative ones too.
                (int Hash, int Slot) added = (random.Next(hashes) * (random.Next(2) == 0 ? 1 : -1) * 16, step);
                index.Add(added.Hash, added.Slot);
                present.Add(added);
            }
            else
            {
                int at = random.Next(present.Count);
                (int Hash, int Slot) removed = present[at];
                index.Remove(removed.Hash, removed.Slot).Should().BeTrue();
                index.Remove(removed.Hash, removed.Slot).Should().BeFalse();
                present.RemoveAt(at);
            }

            index.Count.Should().Be(present.Count);
            if (step % 50 == 0)
            {
                foreach (IGrouping<int, int> group in present.GroupBy(entry => entry.Hash, entry => entry.Slot))
                {
                    SlotsOf(index, group.Key).Should().BeEquivalentTo(group);
                }
            }
        }
    }

    [Fact]
    public void What_replaces_a_slot_is_found_in_its_place()
    {
        SlotIndex index = new();
        index.Add(5, 0);
        index.Add(5, 1);
        index.Replace(5, 0, by: 2);
        SlotsOf(index, 5).Should().BeEquivalentTo([1, 2]);
        index.Remove(5, 0).Should().BeFalse();
        index.Count.Should().Be(2);
    }

    [Fact]
    public void A_guess_says_the_slot_that_stands_at_the_place_or_that_there_is_none()
    {
        SlotIndex index = new();
        index.Guess(9).Should().Be(-1);
        index.Add(9, 4);
        index.Guess(9).Should().Be(4);
    }

    [Fact]
    public void Numbers_in_a_row_have_hashes_of_their_own_and_four_share_a_row_of_places()
    {
        int[] hashes = [.. Enumerable.Range(0, 1_000).Select(number => SlotIndex.HashOf(owner: 77, (ulong)number))];
        hashes.Should().OnlyHaveUniqueItems();
        hashes.Chunk(4).Should().OnlyContain(four => four.Select(hash => hash & ~3).Distinct().Count() == 1);
        hashes.Chunk(4).Select(four => four[0] & 0xFFFC).Distinct().Should().HaveCountGreaterThan(200, "rows are scattered over the places");
        SlotIndex.HashOf(owner: 78, 0).Should().NotBe(hashes[0]);
    }

    [Fact]
    public void Slots_keep_their_numbers_while_others_come_and_go_and_are_given_out_empty()
    {
        SlotBlocks<int> slots = new();
        int[] taken = [.. Enumerable.Range(0, 1_000).Select(_ => slots.Take())];
        taken.Should().Equal(Enumerable.Range(0, 1_000));
        foreach (int slot in taken)
        {
            slots.At(slot) = slot + 1;
        }

        slots.Give(700);
        slots.Give(3);
        slots.Take().Should().Be(3);
        slots.At(3).Should().Be(0);
        slots.Take().Should().Be(700);
        slots.Take().Should().Be(1_000);
        slots.End.Should().Be(1_001);
        taken.Where(slot => slot is not (3 or 700)).Select(slot => slots.At(slot)).Should().Equal(taken.Where(slot => slot is not (3 or 700)).Select(slot => slot + 1));
    }

    private static List<int> SlotsOf(SlotIndex index, int hash)
    {
        List<int> slots = [];
        for (SlotIndex.Probe probe = index.Of(hash); probe.Next(out int slot);)
        {
            slots.Add(slot);
        }

        return slots;
    }
}
