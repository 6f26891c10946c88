using System.Text.Json.Serialization;
using FluentAssertions;
using KvStore.Client;
using KvStore.Contracts;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Xunit;

namespace KvStore.Cluster.Tests.Client;

public sealed class OptionsAndValuesTests
{
    [Fact]
    public void Options_out_of_range_are_refused_all_at_once_with_their_bounds()
    {
        KvClientOptions options = new() { DefaultTimeout = TimeSpan.Zero, MaxInFlightPerNode = 0 };
        options.Endpoints.Add("localhost:7001");

        FluentActions.Invoking(() => KvClient.Create(options)).Should().Throw<OptionsValidationException>()
            .Which.Failures.Should().HaveCount(3).And.Contain(f => f.Contains("http://host:port"));
    }

    [Fact]
    public async Task A_host_gets_one_client_for_all()
    {
        ServiceCollection services = new();
        services.AddKvStore(o => o.Endpoints.Add("http://127.0.0.1:1"));
        await using ServiceProvider provider = services.BuildServiceProvider();

        provider.GetRequiredService<IKvClient>().Should().BeSameAs(provider.GetRequiredService<IKvClient>());
    }

    [Fact]
    public void A_host_refuses_bad_options()
    {
        ServiceCollection services = new();
        services.AddKvStore(_ => { });
        using ServiceProvider provider = services.BuildServiceProvider();

        FluentActions.Invoking(() => provider.GetRequiredService<IStartupValidator>().Validate()).Should().Throw<OptionsValidationException>().WithMessage("*at least one node*");
    }

    [Fact]
    public async Task Scenario_46_Keys_and_values_outside_the_bounds_are_refused_before_anything_is_sent()
    {
        await using KvClient client = KvClient.Create("http://127.0.0.1:1");
        IKvKeyspace ks = client.Keyspace("ks");

        FluentActions.Invoking(() => (KvKey)"").Should().Throw<ArgumentException>().WithMessage("*1 to 4096 bytes*");
        FluentActions.Invoking(() => (KvKey)new byte[KvLimits.MaxKeyBytes + 1]).Should().Throw<ArgumentException>().WithMessage("*4097*");
        await FluentActions.Awaiting(async () => await ks.GetAsync<string>(default)).Should().ThrowAsync<ArgumentException>();
        await FluentActions.Awaiting(async () => await ks.PutAsync("k", new byte[KvLimits.MaxValueBytes + 1])).Should().ThrowAsync<ArgumentException>().WithMessage("*1048576*");
        await FluentActions.Awaiting(async () => await ks.PutAsync("k", "v", new KvWriteOptions { Timeout = TimeSpan.Zero })).Should().ThrowAsync<ArgumentException>();
    }

    [Fact]
    public void Values_survive_the_way_through_the_serializer()
    {
        KvSerializer serializer = new KvSerializer().Add(SampleContext.Default.Sample);

        serializer.Deserialize<string>(serializer.Serialize("Grüße")).Should().Be("Grüße");
        serializer.Deserialize<long>(serializer.Serialize(long.MinValue)).Should().Be(long.MinValue);
        serializer.Deserialize<int>(serializer.Serialize(-17)).Should().Be(-17);
        serializer.Serialize(42).ToArray().Should().Equal("42"u8.ToArray());
        serializer.Deserialize<byte[]>(serializer.Serialize(new byte[] { 1, 2 })).Should().Equal(1, 2);
        serializer.Deserialize<ReadOnlyMemory<byte>>(serializer.Serialize<ReadOnlyMemory<byte>>(new byte[] { 3 })).ToArray().Should().Equal(3);
        serializer.Deserialize<Sample>(serializer.Serialize(new Sample("a", 1))).Should().Be(new Sample("a", 1));
        FluentActions.Invoking(() => serializer.Serialize(new Version(1, 2))).Should().Throw<NotSupportedException>();
        FluentActions.Invoking(() => serializer.Deserialize<long>("12x"u8.ToArray())).Should().Throw<FormatException>();
    }

    [Fact]
    public void Versions_travel_as_text()
    {
        KvVersion version = new(new byte[] { 0, 255, 16 });

        KvVersion.Parse(version.ToString()).Should().Be(version);
        KvVersion.Parse(KvVersion.Absent.ToString()).IsAbsent.Should().BeTrue();
    }
}

internal sealed record Sample(string Name, int Count);

[JsonSerializable(typeof(Sample))]
internal sealed partial class SampleContext : JsonSerializerContext;
