using FluentAssertions;
using KvStore.Core.Identity;
using KvStore.Core.Replicas;
using KvStore.Core.Versioning;
using Xunit;

namespace KvStore.Core.Tests.Replicas;

/// <summary>Whether an entry that somebody saw is still part of the applied log.</summary>
public class AppliedTermsTests
{
    /// <summary>Entries 1 to 3 of term 1, 4 of term 2, 5 and 6 of term 5.</summary>
    private static AppliedTerms Terms()
    {
        var terms = new AppliedTerms();
        ulong[] byIndex = [1, 1, 1, 2, 5, 5];
        for (int i = 0; i < byIndex.Length; i++)
        {
            terms.Advance(new LogIndex((ulong)i + 1), new Term(byIndex[i]));
        }

        return terms;
    }

    [Theory]
    [InlineData(1, 1, "Held")]
    [InlineData(1, 3, "Held")]
    [InlineData(1, 4, "Replaced")]
    [InlineData(2, 4, "Held")]
    [InlineData(2, 3, "Replaced")]
    [InlineData(3, 5, "Replaced")]
    [InlineData(5, 6, "Held")]
    [InlineData(5, 7, "Ahead")]
    [InlineData(6, 7, "Ahead")]
    [InlineData(4, 7, "Replaced")]
    public void A_place_is_held_ahead_or_replaced(ulong term, ulong index, string expected) => Check(Terms(), term, index).ToString().Should().Be(expected);

    [Fact]
    public void It_comes_back_from_its_record()
    {
        var storage = new ScriptedStorage();
        Terms().WriteChanges(storage);
        storage.Find(RecordSpace.Meta, AppliedTerms.Key, out ReadOnlyMemory<byte> record).Should().Be(RecordLookup.Found);
        var restored = new AppliedTerms();
        restored.Restart(new LogIndex(6), new Term(5));
        restored.Restore(record);
        Check(restored, 1, 4).Should().Be(PlaceCheck.Replaced);
        Check(restored, 2, 4).Should().Be(PlaceCheck.Held);
    }

    [Fact]
    public void What_came_before_the_memory_begins_is_forgotten_and_never_taken_for_held()
    {
        var terms = new AppliedTerms();
        terms.Restart(new LogIndex(6), new Term(5));
        Check(terms, 1, 2).Should().Be(PlaceCheck.Forgotten);
        Check(terms, 5, 6).Should().Be(PlaceCheck.Held);

        var many = new AppliedTerms();
        for (ulong i = 1; i <= AppliedTerms.Capacity + 1; i++)
        {
            many.Advance(new LogIndex(i), new Term(i));
        }

        many.Check(new LogPlace(new Term(1), new LogIndex(1)), new LogIndex(300), new Term(300)).Should().Be(PlaceCheck.Forgotten);
        many.Check(new LogPlace(new Term(2), new LogIndex(2)), new LogIndex(300), new Term(300)).Should().Be(PlaceCheck.Held);
    }

    [Fact]
    public void A_damaged_record_is_refused()
    {
        Action restore = () => new AppliedTerms().Restore(new byte[] { 1, 2, 3, 1, 2, 5 });
        restore.Should().Throw<MalformedRecordException>("terms go up");
    }

    private static PlaceCheck Check(AppliedTerms terms, ulong term, ulong index) => terms.Check(new LogPlace(new Term(term), new LogIndex(index)), new LogIndex(6), new Term(5));
}
