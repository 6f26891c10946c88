using System.Reflection;
using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace KvStore.Cluster.Tests.PublicApi;

/// <summary>A public member of a library, and all the names under which a caller's code may refer to it.</summary>
/// <param name="Name">For people.</param>
/// <param name="References">Signatures: of a property those of its accessors, of a method that may implement an interface those of the interface too.</param>
internal sealed record PublicMember(string Name, IReadOnlyList<string> References);

/// <summary>Reads what a library offers, from its metadata.</summary>
internal static class PublicMembers
{
    /// <summary>
    /// Methods, constructors, properties and fields of public types. Not what the compiler makes for records, nor what overrides a member of System.Object: callers' code refers to that one. Not the constructors of records
    /// with a list of parameters either: the library makes these. Constants leave no trace in callers' code.
    /// </summary>
    public static IReadOnlyList<PublicMember> Of(string assembly)
    {
        using PEReader file = new(File.OpenRead(assembly));
        MetadataReader reader = file.GetMetadataReader();
        var members = new List<PublicMember>();
        foreach (TypeDefinitionHandle handle in reader.TypeDefinitions.Where(handle => IsPublic(reader, handle)))
        {
            TypeDefinition type = reader.GetTypeDefinition(handle);
            string[] interfaces = [.. InterfacesOf(reader, type)];
            var accessors = new HashSet<MethodDefinitionHandle>();
            foreach (PropertyDefinition property in type.GetProperties().Select(reader.GetPropertyDefinition))
            {
                PropertyAccessors both = property.GetAccessors();
                MethodDefinitionHandle[] open = [.. new[] { both.Getter, both.Setter }.Where(accessor => !accessor.IsNil && IsPublic(reader.GetMethodDefinition(accessor)))];
                accessors.UnionWith([both.Getter, both.Setter]);
                if (open.Length > 0)
                {
                    members.Add(new PublicMember($"{SignatureText.NameOf(reader, handle)}.{reader.GetString(property.Name)}", [.. open.SelectMany(accessor => NamesOf(reader, handle, accessor, interfaces))]));
                }
            }

            foreach (MethodDefinitionHandle method in type.GetMethods().Where(method => !accessors.Contains(method) && IsWritten(reader, method)))
            {
                string[] names = [.. NamesOf(reader, handle, method, interfaces)];
                members.Add(new PublicMember(names[0], names));
            }

            foreach (FieldDefinition field in type.GetFields().Select(reader.GetFieldDefinition).Where(field => field.Attributes.HasFlag(FieldAttributes.Public) && !field.Attributes.HasFlag(FieldAttributes.Literal) && !field.Attributes.HasFlag(FieldAttributes.SpecialName)))
            {
                string name = $"{SignatureText.NameOf(reader, handle)}.{reader.GetString(field.Name)}";
                members.Add(new PublicMember(name, [name]));
            }
        }

        return members;
    }

    private static IEnumerable<string> NamesOf(MetadataReader reader, TypeDefinitionHandle type, MethodDefinitionHandle handle, IEnumerable<string> interfaces)
    {
        MethodDefinition method = reader.GetMethodDefinition(handle);
        MethodSignature<string> signature = method.DecodeSignature(SignatureText.Instance, null);
        return new[] { SignatureText.NameOf(reader, type) }.Concat(interfaces).Select(owner => SignatureText.Of(owner, reader.GetString(method.Name), signature));
    }

    private static IEnumerable<string> InterfacesOf(MetadataReader reader, TypeDefinition type) => type.GetInterfaceImplementations()
        .Select(implementation => reader.GetInterfaceImplementation(implementation).Interface)
        .Where(implemented => implemented.Kind is HandleKind.TypeDefinition or HandleKind.TypeReference)
        .Select(implemented => implemented.Kind == HandleKind.TypeDefinition
            ? SignatureText.NameOf(reader, (TypeDefinitionHandle)implemented)
            : SignatureText.NameOf(reader, (TypeReferenceHandle)implemented));

    private static bool IsPublic(MetadataReader reader, TypeDefinitionHandle handle)
    {
        TypeDefinition type = reader.GetTypeDefinition(handle);
        return (type.Attributes & TypeAttributes.VisibilityMask) switch
        {
            TypeAttributes.Public => true,
            TypeAttributes.NestedPublic => IsPublic(reader, type.GetDeclaringType()),
            _ => false,
        };
    }

    private static bool IsPublic(MethodDefinition method) => (method.Attributes & MethodAttributes.MemberAccessMask) is MethodAttributes.Public or MethodAttributes.Family or MethodAttributes.FamORAssem;

    private static bool IsWritten(MetadataReader reader, MethodDefinitionHandle handle)
    {
        MethodDefinition method = reader.GetMethodDefinition(handle);
        bool isOverride = method.Attributes.HasFlag(MethodAttributes.Virtual) && !method.Attributes.HasFlag(MethodAttributes.NewSlot);
        return IsPublic(method) && !isOverride && !reader.GetString(method.Name).StartsWith(".cctor", StringComparison.Ordinal) && !IsMadeByCompiler(reader, method) && !IsOfAnException(reader, method) && !IsConstructorThatSaysNothing(reader, method);
    }

    /// <summary>Callers catch exceptions; the library throws them.</summary>
    private static bool IsOfAnException(MetadataReader reader, MethodDefinition method) =>
        reader.GetString(method.Name) == ".ctor" && reader.GetString(reader.GetTypeDefinition(method.GetDeclaringType()).Name).EndsWith("Exception", StringComparison.Ordinal);

    private static bool IsMadeByCompiler(MetadataReader reader, MethodDefinition method) => reader.GetString(method.Name) == "Deconstruct" || method.GetCustomAttributes()
        .Select(attribute => reader.GetCustomAttribute(attribute).Constructor)
        .Where(constructor => constructor.Kind == HandleKind.MemberReference)
        .Select(constructor => reader.GetMemberReference((MemberReferenceHandle)constructor).Parent)
        .Any(parent => parent.Kind == HandleKind.TypeReference && reader.GetString(reader.GetTypeReference((TypeReferenceHandle)parent).Name) == "CompilerGeneratedAttribute");

    /// <summary>The constructor without parameters that a class has by itself, or that of a record with a list of parameters.</summary>
    private static bool IsConstructorThatSaysNothing(MetadataReader reader, MethodDefinition method) => reader.GetString(method.Name) == ".ctor"
        && (method.DecodeSignature(SignatureText.Instance, null).ParameterTypes.IsEmpty
            || reader.GetTypeDefinition(method.GetDeclaringType()).GetMethods().Any(other => reader.GetString(reader.GetMethodDefinition(other).Name) == "Deconstruct"));
}
